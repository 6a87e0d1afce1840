//! Owns the one thread of the agent that enters other network namespaces. What is done there is the
//! job's business.
//!
//! setns() moves the calling thread alone, so the others stay where they are; and since only this
//! thread calls it, only this one needs CAP_SYS_ADMIN (and CAP_SYS_PTRACE, to open the namespaces of
//! other users' processes).
#![forbid(unsafe_code)]

use std::{
    any::Any,
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::mpsc,
    thread,
};

use rustix::{
    io::Errno,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tokio::sync::oneshot;

/// Where a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The namespace that the thread was made in.
    Own,
    /// The namespace of this file (`/run/netns/NAME`, `/proc/PID/ns/net`), if its inode is still this
    /// one: names and process numbers are used again.
    Path(PathBuf, u32),
}

/// Why a job did not run, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The thread could not be made.
    #[error("cannot start the thread that enters network namespaces: {0}")]
    Start(#[source] io::Error),
    /// The file that leads to the namespace cannot be opened; [`NetnsError::is_gone`] tells which it is.
    #[error(
        "cannot open the network namespace {}: {source}; it needs CAP_SYS_PTRACE for another user's process",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file leads to another namespace by now.
    #[error(
        "{} is the network namespace {found} by now, not {expected}: look for the namespaces again",
        path.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The inode that was asked for.
        expected: u32,
        /// The inode that it has.
        found: u32,
    },
    /// setns() was refused.
    #[error("cannot enter the network namespace {}: {errno}; it needs CAP_SYS_ADMIN", path.display())]
    Enter {
        /// The file.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The job panicked. The thread is well.
    #[error("a job in a network namespace panicked: {0}")]
    Panicked(String),
    /// After an earlier job the thread could not go home. It does nothing any more, since it would do it
    /// in the wrong namespace.
    #[error(
        "the thread that enters network namespaces could not return to its own and has stopped working: {0}; restart tcpwatch"
    )]
    Stranded(String),
    /// The thread has ended.
    #[error("the thread that enters network namespaces has ended; restart tcpwatch")]
    Ended,
}

impl NetnsError {
    /// Whether the namespace is simply not there any more, which happens all the time.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Replaced { .. } => true,
            Self::Open { source, .. } => {
                matches!(
                    Errno::from_io_error(source),
                    Some(Errno::NOENT | Errno::SRCH)
                )
            }
            _ => false,
        }
    }
}

type Job = Box<dyn FnOnce(&mut Traveller) + Send>;

/// A handle to the thread; clones share it. The thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct NamespaceThread {
    jobs: mpsc::Sender<Job>,
}

impl NamespaceThread {
    /// Starts the thread, with the capabilities and in the network namespace of the calling one: call
    /// it before that one gives any up.
    ///
    /// # Errors
    /// [`NetnsError::Start`], when there is no thread or no /proc.
    pub fn spawn() -> Result<Self, NetnsError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::sync_channel(1);
        let body = move || {
            let mut traveller = match Traveller::at_home() {
                Ok(traveller) => traveller,
                Err(error) => return drop(ready.send(Err(error))),
            };
            if ready.send(Ok(())).is_ok() {
                for job in queue {
                    job(&mut traveller);
                }
            }
        };
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn(body)
            .map_err(NetnsError::Start)?;
        started
            .recv()
            .map_err(|_| NetnsError::Ended)?
            .map_err(NetnsError::Start)?;
        Ok(Self { jobs })
    }

    /// Runs a job in a namespace, after those that were given before it. It runs also if the future is
    /// dropped.
    ///
    /// A job must not wait for another job of this thread, which would come after it. What it returns
    /// must hold nothing of the namespace (no socket, no file): that would keep the namespace alive.
    ///
    /// # Errors
    /// See [`NetnsError`].
    pub async fn run_in<T: Send + 'static>(
        &self,
        target: Target,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NetnsError> {
        let (reply, answer) = oneshot::channel();
        self.submit(target, job, |result| drop(reply.send(result)))?;
        answer.await.map_err(|_| NetnsError::Ended)?
    }

    /// [`Self::run_in`] for callers outside of an async runtime; it blocks the calling thread.
    ///
    /// # Errors
    /// See [`NetnsError`].
    pub fn blocking_run_in<T: Send + 'static>(
        &self,
        target: Target,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NetnsError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit(target, job, move |result| drop(reply.send(result)))?;
        answer.recv().map_err(|_| NetnsError::Ended)?
    }

    fn submit<T: Send + 'static>(
        &self,
        target: Target,
        job: impl FnOnce() -> T + Send + 'static,
        reply: impl FnOnce(Result<T, NetnsError>) + Send + 'static,
    ) -> Result<(), NetnsError> {
        let job: Job = Box::new(move |traveller| reply(traveller.visit(target, job)));
        self.jobs.send(job).map_err(|_| NetnsError::Ended)
    }
}

/// The state of the thread.
struct Traveller {
    /// The namespace that the thread was made in, which the agent lives in anyway.
    home: File,
    home_inode: u32,
    /// Why it could not go home.
    stranded: Option<String>,
}

impl Traveller {
    fn at_home() -> io::Result<Self> {
        // Not /proc/self, which is the first thread of the process.
        let home = File::open("/proc/thread-self/ns/net")?;
        let home_inode = inode(&home)?;
        Ok(Self {
            home,
            home_inode,
            stranded: None,
        })
    }

    fn visit<T>(&mut self, target: Target, job: impl FnOnce() -> T) -> Result<T, NetnsError> {
        if let Some(reason) = &self.stranded {
            return Err(NetnsError::Stranded(reason.clone()));
        }
        let away = match target {
            Target::Own => false,
            Target::Path(path, expected) => self.enter(path, expected)?,
        };
        let result = catch_unwind(AssertUnwindSafe(job));
        if away && let Err(errno) = setns(&self.home) {
            self.stranded = Some(errno.to_string());
        }
        result.map_err(|payload| NetnsError::Panicked(message(&*payload)))
    }

    /// Goes there and says whether that is away from home. The file is closed again on return: from
    /// then on nothing but being there keeps the namespace alive.
    fn enter(&self, path: PathBuf, expected: u32) -> Result<bool, NetnsError> {
        let opened = File::open(&path).and_then(|file| Ok((inode(&file)?, file)));
        let (found, file) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(NetnsError::Open { path, source }),
        };
        if found != expected {
            return Err(NetnsError::Replaced {
                path,
                expected,
                found,
            });
        }
        if found == self.home_inode {
            return Ok(false);
        }
        match setns(&file) {
            Ok(()) => Ok(true),
            Err(errno) => Err(NetnsError::Enter { path, errno }),
        }
    }
}

fn setns(namespace: &File) -> rustix::io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
}

/// Namespaces are numbered with 32 bits; another file system's number is no namespace's.
fn inode(file: &File) -> io::Result<u32> {
    Ok(u32::try_from(file.metadata()?.ino()).unwrap_or_default())
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_at_home_needs_no_privilege() {
        let thread = NamespaceThread::spawn().unwrap();
        assert_eq!(thread.blocking_run_in(Target::Own, || 2 + 2).unwrap(), 4);
        let own = super::super::own_inode().unwrap();
        let target = Target::Path("/proc/self/ns/net".into(), own);
        assert_eq!(thread.blocking_run_in(target, || 3).unwrap(), 3);
    }

    #[test]
    fn a_job_that_panics_does_not_end_the_thread() {
        let thread = NamespaceThread::spawn().unwrap();
        let result = thread.blocking_run_in(Target::Own, || panic!("as the test wants"));
        let Err::<(), _>(NetnsError::Panicked(message)) = result else {
            panic!("{result:?}")
        };
        assert_eq!(message, "as the test wants");
        assert_eq!(thread.blocking_run_in(Target::Own, || 5).unwrap(), 5);
    }

    #[test]
    fn another_namespace_than_the_expected_is_refused() {
        let thread = NamespaceThread::spawn().unwrap();
        let target = Target::Path("/proc/self/ns/net".into(), 1);
        let error = thread.blocking_run_in(target, || ()).unwrap_err();
        assert!(
            matches!(error, NetnsError::Replaced { expected: 1, .. }),
            "{error}"
        );
        assert!(error.is_gone());
    }

    #[test]
    fn a_namespace_that_is_not_there_is_gone() {
        let thread = NamespaceThread::spawn().unwrap();
        let target = Target::Path("/proc/4294967295/ns/net".into(), 1);
        let error = thread.blocking_run_in(target, || ()).unwrap_err();
        assert!(error.is_gone(), "{error}");
        assert!(!NetnsError::Ended.is_gone());
    }

    #[tokio::test]
    async fn a_job_can_be_awaited() {
        let thread = NamespaceThread::spawn().unwrap();
        let name = thread
            .clone()
            .run_in(Target::Own, || thread::current().name().map(str::to_owned))
            .await
            .unwrap();
        assert_eq!(name.as_deref(), Some("netns"));
    }
}
