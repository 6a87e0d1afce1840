//! Builds one metric family from finished numbers.
//!
//! Prometheus' own counters count for themselves; ours are counted in the kernel, so a family is
//! put together anew for each scrape and never registered anywhere.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// The labels of one series, name and value.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// A metric family under construction.
#[derive(Debug)]
pub struct Family {
    proto: MetricFamily,
}

impl Family {
    /// A counter: `name` ends in `_total`, `help` is one sentence that names the kernel source.
    pub fn counter(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    /// A gauge.
    pub fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    /// A histogram.
    pub fn histogram(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut proto = MetricFamily::default();
        proto.set_name(name.to_owned());
        proto.set_help(help.to_owned());
        proto.set_field_type(kind);
        Self { proto }
    }

    /// Adds a series of a counter or gauge with a whole number.
    pub fn count(&mut self, labels: Labels<'_>, value: u64) {
        self.value(labels, value as f64);
    }

    /// Adds a series of a counter or gauge.
    pub fn value(&mut self, labels: Labels<'_>, value: f64) {
        let mut metric = Metric::from_label(pairs(labels));
        if self.proto.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.proto.mut_metric().push(metric);
    }

    /// Adds a series of a histogram: `counts` per bucket, not cumulated, with one more than
    /// `bounds_ns` for what is above the last; times in nanoseconds.
    pub fn distribution(
        &mut self,
        labels: Labels<'_>,
        bounds_ns: &[u64],
        counts: &[u64],
        sum_ns: u64,
    ) {
        let mut cumulated = 0;
        let buckets = bounds_ns
            .iter()
            .zip(counts)
            .map(|(bound, count)| {
                cumulated += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(seconds(*bound));
                bucket.set_cumulative_count(cumulated);
                bucket
            })
            .collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(seconds(sum_ns));
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.proto.mut_metric().push(metric);
    }

    /// The family for the encoder; `None` while it has no series.
    pub fn into_proto(self) -> Option<MetricFamily> {
        (!self.proto.get_metric().is_empty()).then_some(self.proto)
    }
}

/// Nanoseconds as seconds: one division, so that 100,000 ns is the double nearest to 0.0001.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    labels
        .iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect()
}
