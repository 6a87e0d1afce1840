//! What tcpwatch knows, as plain data: no I/O, no clock, no serialisation.
//!
//! Times are CLOCK_MONOTONIC nanoseconds, as the kernel stamps them; [`Clock`] turns them into
//! wall-clock time where a view shows them. Unknown is `None`, never 0.

pub mod agent;
pub mod connection;
pub mod event;
pub mod observation;
pub mod snapshot;

pub use agent::{Agent, Hook, Probe, ProcessStats, Refusal, Ring, Table};
pub use connection::{
    Attempt, Connection, EndedAttempt, GivesUp, GivesUpBecause, Process, Socket, Syn, Tcp, Timer,
    TimerKind,
};
pub use event::{ConnectStalled, Event, Transition};
pub use observation::{NamespaceFacts, Observation, QueueCounts, Sockets, SynSysctls};
pub use snapshot::{Clock, Namespace, Snapshot};
