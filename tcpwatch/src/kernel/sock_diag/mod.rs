//! Owns TCP socket dumps over `NETLINK_SOCK_DIAG`, the interface behind `ss`: a request with a filter
//! that the kernel runs, and one [`Entry`] per socket. It is written by hand, down to the bytes: the
//! state of a socket is the core of what tcpwatch is for, so nothing stands between the kernel's
//! structs and ours, and a field of a new kernel is one line.
//!
//! It does not know which namespace it is in (a socket sees the network namespace that its thread was
//! in when it was opened; `netns` goes there), nor what the entries mean, and it never asks the kernel
//! to change anything: `SOCK_DESTROY` is not implemented.
//!
//! A dump is not a snapshot. The kernel walks its hash tables in pieces and lets go of them between two
//! datagrams, so a socket that is made, closed or changes state meanwhile is seen once, twice (the
//! cookie tells) or not at all. No privilege is needed, in the own namespace.
#![forbid(unsafe_code)]

mod filter;
mod netlink;
mod request;
mod response;
mod tcp_info;

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recv, send, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

pub use self::{
    filter::{Filter, FilterTooLarge},
    request::{Extensions, Family, Request, StateMask},
    response::{Entry, SkMemInfo, Timer, TimerKind},
    tcp_info::TcpInfo,
};
use self::{
    netlink::{Messages, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR},
    request::SOCK_DIAG_BY_FAMILY,
};

/// The kernel fills at most 32 KiB per datagram (`netlink_recvmsg`), unless one socket takes more.
const BUFFER: usize = 64 * 1024;

/// The kernel answers while we wait in recv(), so this only bounds a kernel that does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a dump gave nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// There is no such netlink family, or no descriptor for it.
    #[error("cannot open a NETLINK_SOCK_DIAG socket: {}; the kernel needs CONFIG_INET_DIAG=y or =m", errno_name(*.0))]
    Open(Errno),
    /// The family is there, its TCP part is not (ENOENT).
    #[error(
        "cannot list TCP sockets: the kernel has no handler for them (ENOENT); load it with `modprobe tcp_diag` (CONFIG_INET_TCP_DIAG)"
    )]
    NoModule,
    /// The filter does not fit.
    #[error(transparent)]
    Filter(#[from] FilterTooLarge),
    /// send() or recv() failed.
    #[error("cannot {what} the kernel's socket list (NETLINK_SOCK_DIAG): {}", errno_name(*.errno))]
    Transfer {
        /// "ask for" or "read".
        what: &'static str,
        /// What it said.
        errno: Errno,
    },
    /// The kernel did not end the dump.
    #[error(
        "the kernel did not answer a request for its TCP sockets within {} s", ANSWER_TIMEOUT.as_secs()
    )]
    NoAnswer,
    /// The kernel refused the request, or gave the dump up.
    #[error("the kernel refused to list its TCP sockets: {}", errno_name(*.0))]
    Refused(Errno),
}

/// What a finished dump was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dumped {
    /// How many sockets were reported.
    pub sockets: u64,
    /// How many messages could not be read and are missing from it: 0, unless a kernel has changed its
    /// format or a datagram was longer than the buffer.
    pub malformed: u64,
    /// `NLM_F_DUMP_INTR`: the kernel says that the tables changed under the dump. The TCP tables do not
    /// say so up to 7.2: that it is false proves nothing.
    pub interrupted: bool,
}

/// A `NETLINK_SOCK_DIAG` socket of the network namespace that its opener was in. It keeps that
/// namespace alive: drop it before leaving a foreign one.
#[derive(Debug)]
pub struct DiagSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
    /// A dump whose end has not been read; the kernel starts no other one meanwhile (EBUSY).
    unfinished: bool,
}

impl DiagSocket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`DiagError::Open`], where the kernel lacks the family or the process has no descriptor left.
    pub fn open() -> Result<Self, DiagError> {
        let open = || {
            let socket = socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                Some(SOCK_DIAG),
            )?;
            set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
            // A connected netlink socket takes messages from its peer only: port 0, the kernel.
            connect(&socket, &SocketAddrNetlink::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(DiagError::Open)?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
            sequence: 0,
            unfinished: false,
        })
    }

    /// Asks for the sockets that the request selects and gives each to `each`, in the kernel's order.
    /// The calling thread is blocked meanwhile, for 1 to 2 microseconds per socket.
    ///
    /// # Errors
    /// See [`DiagError`]. Entries that were given before an error were real ones.
    pub fn dump(
        &mut self,
        request: &Request,
        mut each: impl FnMut(Entry),
    ) -> Result<Dumped, DiagError> {
        if self.unfinished {
            // How it ends is nobody's concern any more, only that it does.
            let left = self.read(|_| {});
            if self.unfinished {
                left?;
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        let message = request.encode(self.sequence)?;
        retry_on_intr(|| send(&self.socket, &message, SendFlags::empty())).map_err(|errno| {
            DiagError::Transfer {
                what: "ask for",
                errno,
            }
        })?;
        self.unfinished = true;
        self.read(&mut each)
    }

    /// [`Self::dump`] into a vector, once more if the kernel says that its tables changed.
    ///
    /// # Errors
    /// See [`DiagError`].
    pub fn collect(&mut self, request: &Request) -> Result<(Vec<Entry>, Dumped), DiagError> {
        let mut entries = Vec::new();
        let mut dumped = self.dump(request, |entry| entries.push(entry))?;
        if dumped.interrupted {
            entries.clear();
            dumped = self.dump(request, |entry| entries.push(entry))?;
        }
        Ok((entries, dumped))
    }

    /// Reads to the end of the dump that runs.
    fn read(&mut self, mut each: impl FnMut(Entry)) -> Result<Dumped, DiagError> {
        let mut dumped = Dumped::default();
        loop {
            let received =
                retry_on_intr(|| recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC));
            let length = match received {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => {
                    // Its end may have been lost. If not, the kernel refuses the next one (EBUSY).
                    self.unfinished = false;
                    return Err(DiagError::NoAnswer);
                }
                Err(errno) => {
                    return Err(DiagError::Transfer {
                        what: "read",
                        errno,
                    });
                }
            };
            if length > self.buffer.len() {
                // What was cut off is lost; the end of the dump is still to come.
                dumped.malformed += 1;
                self.buffer.resize(length.next_power_of_two(), 0);
                continue;
            }
            for message in Messages::of(&self.buffer[..length]) {
                let Ok(message) = message else {
                    dumped.malformed += 1;
                    continue;
                };
                if message.sequence != self.sequence {
                    continue;
                }
                dumped.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        self.unfinished = false;
                        return match message.errno() {
                            0 => Ok(dumped),
                            errno => Err(refusal(Errno::from_raw_os_error(errno))),
                        };
                    }
                    SOCK_DIAG_BY_FAMILY => match Entry::decode(message.payload) {
                        Some(entry) => {
                            dumped.sockets += 1;
                            each(entry);
                        }
                        None => dumped.malformed += 1,
                    },
                    _ => {}
                }
            }
        }
    }
}

/// `__sock_diag_cmd` and `__inet_diag_dump` say ENOENT where the handler of the family or of TCP is
/// neither built in nor loadable.
fn refusal(errno: Errno) -> DiagError {
    match errno {
        Errno::NOENT => DiagError::NoModule,
        errno => DiagError::Refused(errno),
    }
}

/// The number's name, as the kernel's documentation has it, and what it means.
fn errno_name(errno: Errno) -> String {
    let name = match errno {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::NOMEM => "ENOMEM",
        Errno::ACCESS => "EACCES",
        Errno::BUSY => "EBUSY",
        Errno::INVAL => "EINVAL",
        Errno::NFILE => "ENFILE",
        Errno::MFILE => "EMFILE",
        Errno::MSGSIZE => "EMSGSIZE",
        Errno::NOBUFS => "ENOBUFS",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::PROTONOSUPPORT => "EPROTONOSUPPORT",
        Errno::AFNOSUPPORT => "EAFNOSUPPORT",
        Errno::CONNREFUSED => "ECONNREFUSED",
        errno => return errno.to_string(),
    };
    format!("{name}, {errno}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_is_named_with_its_remedy() {
        let text = refusal(Errno::NOENT).to_string();
        assert!(text.contains("modprobe tcp_diag"), "{text}");
        let text = refusal(Errno::INVAL).to_string();
        assert!(text.contains("EINVAL"), "{text}");
        let text = DiagError::Open(Errno::PROTONOSUPPORT).to_string();
        assert!(
            text.contains("EPROTONOSUPPORT") && text.contains("CONFIG_INET_DIAG"),
            "{text}"
        );
    }
}
