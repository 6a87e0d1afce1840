//! Owns the layout of `struct tcp_info` (include/uapi/linux/tcp.h) and its decoding. It does not ask
//! for it, and it does not interpret it.
//!
//! The kernel only ever appends to that struct, and its members lie on their natural boundaries
//! without padding; so it is read member by member until the bytes end.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::netlink::Members;

/// `struct tcp_info`, filled by `tcp_get_info` (net/ipv4/tcp.c). Members that every kernel has are
/// plain; the others are `None` where the kernel did not send them. The values are the kernel's own,
/// its marks for "not measured" included: see [`Self::rtt`] and [`Self::min_rtt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// `tcpi_state`: the state, which may have moved on since the entry around it was filled.
    pub state: u8,
    /// `tcpi_ca_state`: 0 Open, 1 Disorder, 2 CWR, 3 Recovery, 4 Loss.
    pub ca_state: u8,
    /// `tcpi_retransmits`: of the segment at the head of the queue (`icsk_retransmits`).
    pub retransmits: u8,
    /// `tcpi_probes`: window or keepalive probes sent without an answer.
    pub probes: u8,
    /// `tcpi_backoff`: how often the RTO was doubled.
    pub backoff: u8,
    /// `tcpi_options`: the bits `TCPI_OPT_*` (1 timestamps, 2 SACK, 4 window scaling, 8 ECN, ...).
    pub options: u8,
    /// `tcpi_snd_wscale`: the peer's window shift; 0 unless window scaling is among the options.
    pub snd_wscale: u8,
    /// `tcpi_rcv_wscale`: our window shift.
    pub rcv_wscale: u8,
    /// `tcpi_delivery_rate_app_limited`: the rate sample was limited by the application.
    pub delivery_rate_app_limited: bool,
    /// `tcpi_fastopen_client_fail` (0 before 5.5): why TCP Fast Open did not work.
    pub fastopen_client_fail: u8,
    /// `tcpi_rto`, microseconds.
    pub rto_us: u32,
    /// `tcpi_ato`, microseconds: the delayed-ACK timeout.
    pub ato_us: u32,
    /// `tcpi_snd_mss`, bytes.
    pub snd_mss: u32,
    /// `tcpi_rcv_mss`, bytes: an estimate.
    pub rcv_mss: u32,
    /// `tcpi_unacked`, segments; of a listener, the length of the accept queue.
    pub unacked: u32,
    /// `tcpi_sacked`, segments; of a listener, the limit of the accept queue.
    pub sacked: u32,
    /// `tcpi_lost`, segments.
    pub lost: u32,
    /// `tcpi_retrans`, segments: retransmitted and not yet acknowledged.
    pub retrans: u32,
    /// `tcpi_fackets`: 0 since 4.15.
    pub fackets: u32,
    /// `tcpi_last_data_sent`, milliseconds ago.
    pub last_data_sent_ms: u32,
    /// `tcpi_last_ack_sent`: never filled.
    pub last_ack_sent_ms: u32,
    /// `tcpi_last_data_recv`, milliseconds ago.
    pub last_data_recv_ms: u32,
    /// `tcpi_last_ack_recv`, milliseconds ago.
    pub last_ack_recv_ms: u32,
    /// `tcpi_pmtu`, bytes.
    pub pmtu: u32,
    /// `tcpi_rcv_ssthresh`, bytes.
    pub rcv_ssthresh: u32,
    /// `tcpi_rtt`, microseconds, smoothed; 0 before the first sample.
    pub rtt_us: u32,
    /// `tcpi_rttvar`, microseconds.
    pub rttvar_us: u32,
    /// `tcpi_snd_ssthresh`, segments; 0x7fffffff before the first loss.
    pub snd_ssthresh: u32,
    /// `tcpi_snd_cwnd`, segments.
    pub snd_cwnd: u32,
    /// `tcpi_advmss`, bytes.
    pub advmss: u32,
    /// `tcpi_reordering`, segments.
    pub reordering: u32,
    /// `tcpi_rcv_rtt`, microseconds, the receiver's estimate.
    pub rcv_rtt_us: u32,
    /// `tcpi_rcv_space`, bytes.
    pub rcv_space: u32,
    /// `tcpi_total_retrans`, segments over the life of the connection, SYNs included.
    pub total_retrans: u32,
    /// `tcpi_pacing_rate`, bytes per second; `u64::MAX` is no limit.
    pub pacing_rate: Option<u64>,
    /// `tcpi_max_pacing_rate`, bytes per second; `u64::MAX` is no limit.
    pub max_pacing_rate: Option<u64>,
    /// `tcpi_bytes_acked`.
    pub bytes_acked: Option<u64>,
    /// `tcpi_bytes_received`.
    pub bytes_received: Option<u64>,
    /// `tcpi_segs_out`.
    pub segs_out: Option<u32>,
    /// `tcpi_segs_in`.
    pub segs_in: Option<u32>,
    /// `tcpi_notsent_bytes`: written by the application, not yet sent.
    pub notsent_bytes: Option<u32>,
    /// `tcpi_min_rtt`, microseconds; `u32::MAX` before the first sample.
    pub min_rtt_us: Option<u32>,
    /// `tcpi_data_segs_in`.
    pub data_segs_in: Option<u32>,
    /// `tcpi_data_segs_out`.
    pub data_segs_out: Option<u32>,
    /// `tcpi_delivery_rate`, bytes per second; 0 before the first sample.
    pub delivery_rate: Option<u64>,
    /// `tcpi_busy_time`, microseconds with data to send or unacknowledged.
    pub busy_time_us: Option<u64>,
    /// `tcpi_rwnd_limited`, microseconds held back by the peer's window.
    pub rwnd_limited_us: Option<u64>,
    /// `tcpi_sndbuf_limited`, microseconds held back by the send buffer.
    pub sndbuf_limited_us: Option<u64>,
    /// `tcpi_delivered` (4.18), segments.
    pub delivered: Option<u32>,
    /// `tcpi_delivered_ce` (4.18), segments that came back with a congestion mark.
    pub delivered_ce: Option<u32>,
    /// `tcpi_bytes_sent` (4.19), retransmissions included.
    pub bytes_sent: Option<u64>,
    /// `tcpi_bytes_retrans` (4.19).
    pub bytes_retrans: Option<u64>,
    /// `tcpi_dsack_dups` (4.19), segments that the peer got twice.
    pub dsack_dups: Option<u32>,
    /// `tcpi_reord_seen` (4.19), reordering events.
    pub reord_seen: Option<u32>,
    /// `tcpi_rcv_ooopack` (5.4), segments received out of order.
    pub rcv_ooopack: Option<u32>,
    /// `tcpi_snd_wnd` (5.4), bytes: the peer's window after scaling.
    pub snd_wnd: Option<u32>,
    /// `tcpi_rcv_wnd` (6.2), bytes: our window after scaling.
    pub rcv_wnd: Option<u32>,
    /// `tcpi_rehash` (6.2): changes of the flow's hash after timeouts.
    pub rehash: Option<u32>,
    /// `tcpi_total_rto` (6.7): RTO timeouts, SYN and SYN-ACK included.
    pub total_rto: Option<u16>,
    /// `tcpi_total_rto_recoveries` (6.7): recoveries from them, an unfinished one included.
    pub total_rto_recoveries: Option<u16>,
    /// `tcpi_total_rto_time` (6.7), milliseconds in such recoveries.
    pub total_rto_time_ms: Option<u32>,
    /// `tcpi_received_ce` (6.18), segments received with a congestion mark. The bit fields behind the
    /// byte counters below are left out: their layout changed from 6.18 to 7.0.
    pub received_ce: Option<u32>,
    /// `tcpi_delivered_e1_bytes` (6.18): Accurate ECN's byte counters.
    pub delivered_e1_bytes: Option<u32>,
    /// `tcpi_delivered_e0_bytes` (6.18).
    pub delivered_e0_bytes: Option<u32>,
    /// `tcpi_delivered_ce_bytes` (6.18).
    pub delivered_ce_bytes: Option<u32>,
    /// `tcpi_received_e1_bytes` (6.18).
    pub received_e1_bytes: Option<u32>,
    /// `tcpi_received_e0_bytes` (6.18).
    pub received_e0_bytes: Option<u32>,
    /// `tcpi_received_ce_bytes` (6.18).
    pub received_ce_bytes: Option<u32>,
}

impl TcpInfo {
    /// Decodes the bytes of an `INET_DIAG_INFO` attribute; `None` where not even the 104 bytes are
    /// there that every kernel sends.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut members = Members::of(bytes);
        let m = &mut members;
        // The members of this expression are evaluated in the order in which they are written: it is
        // the order of the struct.
        let [
            state,
            ca_state,
            retransmits,
            probes,
            backoff,
            options,
            wscales,
            flags,
        ] = m.array()?;
        Some(Self {
            state,
            ca_state,
            retransmits,
            probes,
            backoff,
            options,
            snd_wscale: bits(wscales, 0, 4),
            rcv_wscale: bits(wscales, 4, 4),
            delivery_rate_app_limited: bits(flags, 0, 1) == 1,
            fastopen_client_fail: bits(flags, 1, 2),
            rto_us: m.u32()?,
            ato_us: m.u32()?,
            snd_mss: m.u32()?,
            rcv_mss: m.u32()?,
            unacked: m.u32()?,
            sacked: m.u32()?,
            lost: m.u32()?,
            retrans: m.u32()?,
            fackets: m.u32()?,
            last_data_sent_ms: m.u32()?,
            last_ack_sent_ms: m.u32()?,
            last_data_recv_ms: m.u32()?,
            last_ack_recv_ms: m.u32()?,
            pmtu: m.u32()?,
            rcv_ssthresh: m.u32()?,
            rtt_us: m.u32()?,
            rttvar_us: m.u32()?,
            snd_ssthresh: m.u32()?,
            snd_cwnd: m.u32()?,
            advmss: m.u32()?,
            reordering: m.u32()?,
            rcv_rtt_us: m.u32()?,
            rcv_space: m.u32()?,
            total_retrans: m.u32()?,
            pacing_rate: m.u64(),
            max_pacing_rate: m.u64(),
            bytes_acked: m.u64(),
            bytes_received: m.u64(),
            segs_out: m.u32(),
            segs_in: m.u32(),
            notsent_bytes: m.u32(),
            min_rtt_us: m.u32(),
            data_segs_in: m.u32(),
            data_segs_out: m.u32(),
            delivery_rate: m.u64(),
            busy_time_us: m.u64(),
            rwnd_limited_us: m.u64(),
            sndbuf_limited_us: m.u64(),
            delivered: m.u32(),
            delivered_ce: m.u32(),
            bytes_sent: m.u64(),
            bytes_retrans: m.u64(),
            dsack_dups: m.u32(),
            reord_seen: m.u32(),
            rcv_ooopack: m.u32(),
            snd_wnd: m.u32(),
            rcv_wnd: m.u32(),
            rehash: m.u32(),
            total_rto: m.u16(),
            total_rto_recoveries: m.u16(),
            total_rto_time_ms: m.u32(),
            received_ce: m.u32(),
            delivered_e1_bytes: m.u32(),
            delivered_e0_bytes: m.u32(),
            delivered_ce_bytes: m.u32(),
            received_e1_bytes: m.u32(),
            received_e0_bytes: m.u32(),
            received_ce_bytes: m.u32(),
        })
    }

    /// The smoothed round-trip time, or `None` before the first sample.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        (self.rtt_us != 0).then(|| Duration::from_micros(self.rtt_us.into()))
    }

    /// The smallest round-trip time of the last minutes (`tcp_min_rtt_wlen`), or `None` before the
    /// first sample.
    #[must_use]
    pub fn min_rtt(&self) -> Option<Duration> {
        let us = self.min_rtt_us.filter(|us| *us != u32::MAX)?;
        Some(Duration::from_micros(us.into()))
    }

    /// Whether window scaling was agreed on (`TCPI_OPT_WSCALE`).
    #[must_use]
    pub fn wscale_ok(&self) -> bool {
        self.options & 4 != 0
    }
}

/// `width` bits of a byte of C bit fields, the first declared one first: they fill it from its low end
/// on little-endian machines and from its high end on big-endian ones.
fn bits(byte: u8, first: u32, width: u32) -> u8 {
    let shift = if cfg!(target_endian = "little") {
        first
    } else {
        8 - first - width
    };
    (byte >> shift) & ((1 << width) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that say at each place where they are.
    fn numbered(length: usize) -> Vec<u8> {
        (0..length).map(|at| at as u8).collect()
    }

    fn u16_at(at: usize) -> u16 {
        u16::from_ne_bytes(numbered(256)[at..at + 2].try_into().unwrap())
    }

    fn u32_at(at: usize) -> u32 {
        let bytes = [at, at + 1, at + 2, at + 3].map(|at| at as u8);
        u32::from_ne_bytes(bytes)
    }

    fn u64_at(at: usize) -> u64 {
        u64::from_ne_bytes(numbered(256)[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn members_lie_at_the_offsets_of_the_kernel() {
        let info = TcpInfo::decode(&numbered(280)).unwrap();
        assert_eq!([info.state, info.retransmits, info.options], [0, 2, 5]);
        assert_eq!((info.rto_us, info.snd_mss), (u32_at(8), u32_at(16)));
        assert_eq!(
            (info.unacked, info.last_data_sent_ms),
            (u32_at(24), u32_at(44))
        );
        assert_eq!((info.rtt_us, info.rttvar_us), (u32_at(68), u32_at(72)));
        assert_eq!((info.snd_cwnd, info.rcv_rtt_us), (u32_at(80), u32_at(92)));
        assert_eq!(info.total_retrans, u32_at(100));
        assert_eq!(info.pacing_rate, Some(u64_at(104)));
        assert_eq!(info.bytes_received, Some(u64_at(128)));
        assert_eq!(info.segs_out, Some(u32_at(136)));
        assert_eq!(info.min_rtt_us, Some(u32_at(148)));
        assert_eq!(info.delivery_rate, Some(u64_at(160)));
        assert_eq!(info.sndbuf_limited_us, Some(u64_at(184)));
        assert_eq!(info.delivered, Some(u32_at(192)));
        assert_eq!(info.bytes_sent, Some(u64_at(200)));
        assert_eq!(info.bytes_retrans, Some(u64_at(208)));
        assert_eq!(info.reord_seen, Some(u32_at(220)));
        assert_eq!(info.snd_wnd, Some(u32_at(228)));
        assert_eq!(info.rcv_wnd, Some(u32_at(232)));
        assert_eq!(info.total_rto, Some(u16_at(240)));
        assert_eq!(info.total_rto_recoveries, Some(u16_at(242)));
        assert_eq!(info.total_rto_time_ms, Some(u32_at(244)));
        assert_eq!(info.received_ce, Some(u32_at(248)));
        assert_eq!(info.received_ce_bytes, Some(u32_at(272)));
    }

    #[test]
    fn a_member_that_did_not_come_whole_is_unknown() {
        for length in 0..104 {
            assert_eq!(TcpInfo::decode(&numbered(length)), None, "{length} bytes");
        }
        for length in 104..=280 {
            let info = TcpInfo::decode(&numbered(length)).unwrap();
            assert_eq!(info.pacing_rate.is_some(), length >= 112, "{length} bytes");
            assert_eq!(info.segs_out.is_some(), length >= 140, "{length} bytes");
            assert_eq!(info.segs_in.is_some(), length >= 144, "{length} bytes");
            assert_eq!(info.snd_wnd.is_some(), length >= 232, "{length} bytes");
            assert_eq!(info.rcv_wnd.is_some(), length >= 236, "{length} bytes");
            assert_eq!(info.total_rto.is_some(), length >= 242, "{length} bytes");
            assert_eq!(
                info.total_rto_time_ms.is_some(),
                length >= 248,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn the_bit_fields_share_their_bytes() {
        let mut bytes = vec![0; 104];
        (bytes[6], bytes[7]) = if cfg!(target_endian = "little") {
            (0x95, 0b0000_0101)
        } else {
            (0x59, 0b1100_0000)
        };
        let info = TcpInfo::decode(&bytes).unwrap();
        assert_eq!((info.snd_wscale, info.rcv_wscale), (5, 9));
        assert!(info.delivery_rate_app_limited);
        assert_eq!(info.fastopen_client_fail, 2);
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let mut bytes = vec![0; 248];
        bytes[148..152].fill(0xff);
        let info = TcpInfo::decode(&bytes).unwrap();
        assert_eq!(
            (info.rtt(), info.min_rtt(), info.wscale_ok()),
            (None, None, false)
        );
        bytes[5] = 4;
        bytes[68..72].copy_from_slice(&1500_u32.to_ne_bytes());
        bytes[148..152].copy_from_slice(&900_u32.to_ne_bytes());
        let info = TcpInfo::decode(&bytes).unwrap();
        assert_eq!(info.rtt(), Some(Duration::from_micros(1500)));
        assert_eq!(info.min_rtt(), Some(Duration::from_micros(900)));
        assert!(info.wscale_ok());
    }
}
