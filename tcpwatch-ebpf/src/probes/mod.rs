//! One file a probe family: what it hooks, what it costs, what it cannot see.

mod destroy_sock;
mod queues;
mod receive_reset;
mod retransmit;
mod state;
