//! How views ask for a snapshot: one channel to the one task that owns the store.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::model::Snapshot;

/// How much a snapshot must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Counts, probes, rings and tables, and the connections as the handshake table has them.
    Counts,
    /// The connections too as sock_diag has them, in every network namespace.
    Connections,
}

/// One request for a snapshot.
#[derive(Debug)]
pub struct Ask {
    /// How much it must hold.
    pub detail: Detail,
    /// Where to send it.
    pub reply: oneshot::Sender<Arc<Snapshot>>,
}

/// The store task is gone: the daemon is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopping;

/// The views' end of the channel; cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    asks: mpsc::Sender<Ask>,
}

impl Feed {
    /// A feed and the end that the store task serves. At most `waiting` requests queue up.
    #[must_use]
    pub fn new(waiting: usize) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(waiting);
        (Self { asks }, receiver)
    }

    /// Asks for a snapshot of this moment.
    ///
    /// # Errors
    /// [`Stopping`] when the store task has ended.
    pub async fn snapshot(&self, detail: Detail) -> Result<Arc<Snapshot>, Stopping> {
        let (reply, answer) = oneshot::channel();
        self.asks
            .send(Ask { detail, reply })
            .await
            .map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }
}
