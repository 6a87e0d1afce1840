//! Drains one ring: woken by the programs above their threshold, else by the caller's timer.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

/// At most this many records are taken in one go, so that requests are served in between.
const BATCH: usize = 8192;

struct Source(RingBuf<MapData>);

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The reading end of one ring.
pub struct RingReader {
    source: AsyncFd<Source>,
}

impl RingReader {
    /// Takes the ring; must be called inside the runtime.
    ///
    /// # Errors
    /// What registering the descriptor gave.
    pub fn new(ring: RingBuf<MapData>) -> std::io::Result<Self> {
        // SAFETY: `Source` owns the ring's descriptor, which stays open and the same until the
        // ring is dropped, and that is after the registration ended.
        unsafe { AsyncFd::register_with_interest(Source(ring), Interest::READABLE) }
            .map(|source| Self { source })
            .map_err(|error| error.into_parts().1)
    }

    /// Waits until the programs wake the reader.
    ///
    /// # Errors
    /// What the runtime's poll gave.
    pub async fn woken(&self) -> std::io::Result<()> {
        self.source.readable().await?.clear_ready();
        Ok(())
    }

    /// Hands the waiting records to `take`, at most a batch of them; true when more may wait.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        let ring = &mut self.source.get_mut().0;
        for _ in 0..BATCH {
            match ring.next() {
                Some(record) => take(&record),
                None => return false,
            }
        }
        true
    }
}
