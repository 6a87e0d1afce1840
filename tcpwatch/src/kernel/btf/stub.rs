//! A small BTF for aya: the tracepoints' typedefs under their numbers in the kernel's, and nothing
//! between them.
//!
//! aya asks only for the number of `btf_trace_NAME`. Given the kernel's own BTF it first makes an
//! object of each of 130,000 types, which takes longer than everything else at start-up and leaves
//! megabytes behind.

use super::{Btf, BtfError};

const HEADER_LEN: u32 = 24;
const TYPE_LEN: usize = 12;
const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;

impl Btf {
    /// BTF in which the typedef of each of these tracepoints that the kernel has keeps its number.
    ///
    /// # Errors
    /// [`BtfError`] where the kernel's BTF is corrupt; a tracepoint that it lacks is left out.
    pub fn stub(&self, tracepoints: &[&str]) -> Result<Vec<u8>, BtfError> {
        let mut strings = vec![0u8];
        let mut typedefs: Vec<(u32, u32)> = Vec::new();
        for name in tracepoints {
            if let Some(id) = self.raw.typedef_id(&format!("btf_trace_{name}")) {
                let offset = strings.len() as u32;
                strings.extend(format!("btf_trace_{name}\0").bytes());
                typedefs.push((id, offset));
            }
        }
        let last = typedefs.iter().map(|(id, _)| *id).max().unwrap_or(0) as usize;
        let mut types = vec![0u8; last * TYPE_LEN];
        for entry in types.chunks_exact_mut(TYPE_LEN) {
            write(entry, 0, KIND_FWD);
        }
        for (id, name) in typedefs {
            let start = (id as usize - 1) * TYPE_LEN;
            write(&mut types[start..start + TYPE_LEN], name, KIND_TYPEDEF);
        }
        let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
        let mut bytes = Vec::with_capacity(HEADER_LEN as usize + types.len() + strings.len());
        // Magic, version 1, no flags.
        bytes.extend(0xeb9f_u16.to_ne_bytes());
        bytes.extend([1, 0]);
        for field in [HEADER_LEN, 0, types_len, types_len, strings_len] {
            bytes.extend(field.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        Ok(bytes)
    }
}

/// A type of that name and kind that refers to void.
fn write(entry: &mut [u8], name: u32, kind: u32) {
    entry[..4].copy_from_slice(&name.to_ne_bytes());
    entry[4..8].copy_from_slice(&(kind << 24).to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_has_the_kernels_numbers() {
        let kernel = Btf::running_kernel().unwrap();
        let names = [
            "inet_sock_set_state",
            "no_such_tracepoint",
            "tcp_destroy_sock",
        ];
        let stub = Btf::parse(kernel.stub(&names).unwrap()).unwrap();
        for name in [
            "btf_trace_inet_sock_set_state",
            "btf_trace_tcp_destroy_sock",
        ] {
            let id = kernel.raw.typedef_id(name);
            assert!(id.is_some(), "{name}");
            assert_eq!(stub.raw.typedef_id(name), id, "{name}");
        }
        assert_eq!(stub.raw.typedef_id("btf_trace_no_such_tracepoint"), None);
    }

    #[test]
    fn no_tracepoint_makes_an_empty_stub() {
        let kernel = Btf::running_kernel().unwrap();
        let stub = Btf::parse(kernel.stub(&[]).unwrap()).unwrap();
        assert_eq!(stub.raw.typedef_id("btf_trace_inet_sock_set_state"), None);
    }
}
