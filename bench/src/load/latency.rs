//! Latencies with exact percentiles: all samples are kept and sorted, none is put into a histogram.

use std::time::Duration;

/// Response times in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    micros: Vec<u32>,
    sorted: bool,
}

impl Latencies {
    /// Adds a sample. More than an hour counts as an hour.
    pub fn note(&mut self, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(3_600_000_000));
        self.sorted = false;
    }

    /// Adds all samples of another set.
    pub fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.sorted = false;
    }

    /// Number of samples.
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    /// The percentile by nearest rank, in milliseconds: the smallest sample that at least `share` (0 to 1) of all samples do not exceed. 0
    /// without samples.
    pub fn percentile_ms(&mut self, share: f64) -> f64 {
        if !self.sorted {
            self.micros.sort_unstable();
            self.sorted = true;
        }
        let rank = (share * self.micros.len() as f64).ceil() as usize;
        self.micros.get(rank.saturating_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        millis.into_iter().for_each(|ms| latencies.note(Duration::from_millis(ms)));
        latencies
    }

    #[test]
    fn a_percentile_is_a_sample_by_nearest_rank() {
        let mut latencies = of((1..=100).rev());
        assert!((latencies.percentile_ms(0.50) - 50.0).abs() < f64::EPSILON);
        assert!((latencies.percentile_ms(0.99) - 99.0).abs() < f64::EPSILON);
        assert!((latencies.percentile_ms(1.0) - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn merged_samples_count_alike() {
        let mut latencies = of([1, 1, 1]);
        latencies.merge(of([9]));
        assert_eq!(latencies.count(), 4);
        assert!((latencies.percentile_ms(0.75) - 1.0).abs() < f64::EPSILON);
        assert!((latencies.percentile_ms(0.76) - 9.0).abs() < f64::EPSILON);
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert!(Latencies::default().percentile_ms(0.99).abs() < f64::EPSILON);
    }
}
