//! Medians and quartiles: what is left of figures that vary from run to run.

use std::fmt;

use serde::Serialize;

/// The middle of some figures and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// A quarter lies below.
    pub p25: f64,
    /// Half lies below.
    pub median: f64,
    /// Three quarters lie below.
    pub p75: f64,
}

impl Spread {
    /// Of these figures; `None` of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            p25: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            p75: quantile(&sorted, 0.75)?,
        })
    }

    /// The same in another unit.
    pub fn times(self, factor: f64) -> Self {
        Self {
            p25: self.p25 * factor,
            median: self.median * factor,
            p75: self.p75 * factor,
        }
    }
}

/// `median (p25-p75)` with the precision of the format.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        let Self { p25, median, p75 } = self;
        write!(f, "{median:.digits$} ({p25:.digits$}-{p75:.digits$})")
    }
}

/// Between the two figures that lie nearest.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let (low, high) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_nearest_figures() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!(
            spread,
            Spread {
                p25: 2.0,
                median: 3.0,
                p75: 4.0
            }
        );
        assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of([]), None);
        assert_eq!(format!("{spread:.1}"), "3.0 (2.0-4.0)");
    }
}
