//! Percentiles of samples.

/// Samples of one metric, in any unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The smallest sample that at least this percentage of the samples do not exceed. `None` if there are no samples.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

impl Extend<f64> for Samples {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, samples: T) {
        self.0.extend(samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile(50), None);
        samples.extend((1..=100).rev().map(f64::from));
        assert_eq!(samples.percentile(50), Some(50.0));
        assert_eq!(samples.percentile(99), Some(99.0));
        samples.push(1e6);
        assert_eq!(samples.percentile(100), Some(1e6));
    }
}
