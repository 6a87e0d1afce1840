//! Hands what the programs log, where they were asked to, to this process's own log.

use std::time::Duration;

/// The programs' log is looked at this often.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Forwards records for ever.
pub async fn forward(mut log: aya_log::EbpfLogger<&'static dyn log::Log>) {
    let mut tick = tokio::time::interval(FLUSH_EVERY);
    loop {
        tick.tick().await;
        log.flush();
    }
}
