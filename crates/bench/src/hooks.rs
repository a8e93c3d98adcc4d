//! Measures what a hook that decides nothing costs, against a decision of the same function in the same run.

use crate::compare::milliseconds;
use crate::fixture;
use crate::function::Function;
use crate::program::Program;
use crate::stand_ins::Table;
use crate::statistics::Samples;

/// The cost of one hook.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// CPU time, in microseconds. Each sample is the mean of a round.
    cpu_us: Samples,
    /// Requests to `DynamoDB` in all rounds.
    reads: u64,
}

/// The costs of a decision and of a hook that decides nothing.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    decision: Cost,
    other: Cost,
}

/// Sends rounds of both hooks in turns, so that other load on the machine affects them equally.
pub(crate) async fn measure(callgate: &Program, rounds: u32, calls: u32) -> anyhow::Result<Costs> {
    let mut table = Table::start(true).await?;
    // The app is read for every call, so that each decision is a whole one.
    table.environment.push(("APP_CACHE_SECONDS", "0".to_owned()));

    let (mut function, _) = Function::start(&callgate.path, &table.environment).await?;
    let events = [fixture::event()?, fixture::other_hook()?];
    for event in &events {
        function.call(event).await?;
    }
    let mut costs = Costs::default();
    for _ in 0..rounds {
        for (event, cost) in events.iter().zip([&mut costs.decision, &mut costs.other]) {
            let (cpu, reads) = (function.cpu()?, table.dynamodb.requests());
            for _ in 0..calls {
                function.call(event).await?;
            }
            let cpu = function.cpu()?.saturating_sub(cpu);
            cost.cpu_us.push(1e3 * milliseconds(cpu) / f64::from(calls));
            cost.reads += table.dynamodb.requests() - reads;
        }
    }
    function.stop().await?;
    Ok(costs)
}

impl Costs {
    /// Formats the costs as a Markdown table.
    pub(crate) fn table(&self) -> String {
        let row = |name: &str, cost: &Cost| format!("| {name} | {:.1} | {} |", cost.median(), cost.reads);
        let rows = [row("a decision (`OnCallEvent`)", &self.decision), row("an echo (`CallStatusEvent`)", &self.other)];
        format!("| | CPU, us | reads |\n|---|---:|---:|\n{}\n", rows.join("\n"))
    }

    /// Checks that an echo reads nothing and costs less than half of a decision.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let ratio = self.other.median() / self.decision.median();
        anyhow::ensure!(self.decision.reads > 0 && self.other.reads == 0, "an echo read {} times", self.other.reads);
        anyhow::ensure!(ratio < 0.5, "an echo costs {ratio:.2} of a decision; the limit is 0.5");
        Ok(())
    }
}

impl Cost {
    fn median(&self) -> f64 {
        self.cpu_us.percentile(50).unwrap_or_default()
    }
}
