//! Owns what the calling thread may do: reading its capabilities and giving them up. Which ones a
//! feature needs is that feature's business.
//!
//! Capabilities belong to a thread, and a new thread has those of the one that made it: so a thread
//! that needs more than the others is made before they give theirs up.
#![forbid(unsafe_code)]

pub use rustix::thread::CapabilitySet;
use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

/// The capabilities of the calling thread could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} the capabilities of this thread: {source}")]
pub struct CapabilityError {
    what: &'static str,
    source: rustix::io::Errno,
}

fn current() -> Result<CapabilitySets, CapabilityError> {
    capabilities(None).map_err(|source| CapabilityError {
        what: "read",
        source,
    })
}

/// The effective set of the calling thread: what it may do now.
///
/// # Errors
/// When capget() is refused, as by a seccomp filter.
pub fn effective() -> Result<CapabilitySet, CapabilityError> {
    current().map(|sets| sets.effective)
}

/// Which of `wanted` the calling thread does not have in effect, by name (`CAP_BPF`).
///
/// # Errors
/// As [`effective`].
pub fn missing(wanted: CapabilitySet) -> Result<Vec<String>, CapabilityError> {
    effective().map(|effective| names(wanted - effective))
}

/// The names of a set, in the order of their numbers; one without a name is `CAP_41`.
#[must_use]
pub fn names(set: CapabilitySet) -> Vec<String> {
    let mut names: Vec<_> = set
        .iter_names()
        .map(|(name, _)| format!("CAP_{name}"))
        .collect();
    let known = CapabilitySet::from_bits_retain(
        CapabilitySet::all()
            .iter_names()
            .fold(0, |bits, (_, flag)| bits | flag.bits()),
    );
    let unnamed = (set - known).bits();
    names.extend(
        (0..u64::BITS)
            .filter(|bit| unnamed >> bit & 1 == 1)
            .map(|bit| format!("CAP_{bit}")),
    );
    names
}

/// Gives up, for good and for the calling thread alone, every capability outside `set`: from its
/// effective, permitted and inheritable sets. One that it does not have is not gained.
///
/// # Errors
/// When capset() is refused, as by a seccomp filter; nothing has changed then.
pub fn keep_only(set: CapabilitySet) -> Result<(), CapabilityError> {
    let held = current()?;
    let kept = CapabilitySets {
        effective: held.effective & set,
        permitted: held.permitted & set,
        inheritable: held.inheritable & set,
    };
    set_capabilities(None, kept).map_err(|source| CapabilityError {
        what: "drop",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        assert_eq!(
            names(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN),
            ["CAP_SYS_ADMIN", "CAP_BPF"]
        );
        assert_eq!(names(CapabilitySet::from_bits_retain(1 << 63)), ["CAP_63"]);
        assert!(names(CapabilitySet::empty()).is_empty());
    }

    #[test]
    fn what_a_thread_gives_up_its_neighbours_keep() {
        let before = effective().unwrap();
        std::thread::spawn(|| {
            keep_only(CapabilitySet::CHOWN).unwrap();
            assert!(CapabilitySet::CHOWN.contains(effective().unwrap()));
            assert_eq!(missing(CapabilitySet::KILL).unwrap(), ["CAP_KILL"]);
            // Nothing comes back.
            keep_only(CapabilitySet::all()).unwrap();
            assert!(CapabilitySet::CHOWN.contains(effective().unwrap()));
        })
        .join()
        .unwrap();
        assert_eq!(effective().unwrap(), before);
    }
}
