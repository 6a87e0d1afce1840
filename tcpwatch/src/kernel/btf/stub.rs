//! A small BTF for aya: the tracepoints' typedefs and the functions under their numbers in the
//! kernel's, and nothing between them.
//!
//! aya asks only for the number of `btf_trace_NAME` or of a function. Given the kernel's own BTF it first makes an
//! object of each of 130,000 types, which takes longer than everything else at start-up and leaves
//! megabytes behind.

use super::{Btf, BtfError};

const HEADER_LEN: u32 = 24;
const TYPE_LEN: usize = 12;
const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC: u32 = 12;

impl Btf {
    /// BTF in which the typedef of each of these tracepoints, and each of these functions, that the
    /// kernel has keeps its number.
    ///
    /// # Errors
    /// [`BtfError`] where the kernel's BTF is corrupt; what it lacks is left out.
    pub fn stub(&self, tracepoints: &[&str], functions: &[&str]) -> Result<Vec<u8>, BtfError> {
        let mut strings = vec![0u8];
        let mut kept: Vec<(u32, u32, u32)> = Vec::new();
        let mut keep = |id: Option<u32>, name: &str, kind| {
            if let Some(id) = id {
                kept.push((id, strings.len() as u32, kind));
                strings.extend(name.bytes());
                strings.push(0);
            }
        };
        for name in tracepoints {
            let name = format!("btf_trace_{name}");
            keep(self.raw.typedef_id(&name), &name, KIND_TYPEDEF);
        }
        for name in functions {
            keep(self.raw.function_id(name), name, KIND_FUNC);
        }
        let last = kept.iter().map(|(id, ..)| *id).max().unwrap_or(0) as usize;
        let mut types = vec![0u8; last * TYPE_LEN];
        for entry in types.chunks_exact_mut(TYPE_LEN) {
            write(entry, 0, KIND_FWD);
        }
        for (id, name, kind) in kept {
            let start = (id as usize - 1) * TYPE_LEN;
            write(&mut types[start..start + TYPE_LEN], name, kind);
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
        let functions = ["tcp_conn_request", "no_such_function"];
        let stub = Btf::parse(kernel.stub(&names, &functions).unwrap()).unwrap();
        for name in [
            "btf_trace_inet_sock_set_state",
            "btf_trace_tcp_destroy_sock",
        ] {
            let id = kernel.raw.typedef_id(name);
            assert!(id.is_some(), "{name}");
            assert_eq!(stub.raw.typedef_id(name), id, "{name}");
        }
        assert_eq!(stub.raw.typedef_id("btf_trace_no_such_tracepoint"), None);
        let id = kernel.raw.function_id("tcp_conn_request");
        assert!(id.is_some());
        assert_eq!(stub.raw.function_id("tcp_conn_request"), id);
        assert_eq!(stub.raw.function_id("no_such_function"), None);
    }

    #[test]
    fn no_tracepoint_makes_an_empty_stub() {
        let kernel = Btf::running_kernel().unwrap();
        let stub = Btf::parse(kernel.stub(&[], &[]).unwrap()).unwrap();
        assert_eq!(stub.raw.typedef_id("btf_trace_inet_sock_set_state"), None);
    }
}
