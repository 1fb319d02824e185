//! What one tenant's bomb does to another: the slowest calls of a sandbox beside one in which programs fork without end.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sandbox::{ExecRequest, Limits, Termination};
use tokio_util::sync::CancellationToken;

use crate::native::{self, Native};
use crate::report::Row;
use crate::statistics::{Random, median, median_interval};

/// Pairs of a block alone and a block beside the bomb.
const PAIRS: usize = 9;
/// Calls of a block.
const CALLS: usize = 60;
/// Calls while the bomb spreads, which are not counted.
const SPREAD: usize = 10;

/// Forks as long as it can, in every process.
const BOMB: &str = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n";

/// The 95th percentile of a call beside the bomb, over the same without.
pub(crate) async fn row(native: &Native) -> anyhow::Result<Row> {
    let mut tenant = native.create(Limits::standard()).await?;
    let (mut ratios, mut besides, mut alones) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let alone = block(&mut tenant, CALLS).await?;
        let mut other = native.create(Limits::standard()).await?;
        let end = CancellationToken::new();
        let bomb = request();
        let beside = {
            let mut ignored = |_, _: &[u8]| {};
            let mut bombing = std::pin::pin!(other.exec(&bomb, &end, &mut ignored));
            let measured = async {
                block(&mut tenant, SPREAD).await?;
                block(&mut tenant, CALLS).await
            };
            let beside = tokio::select! {
                outcome = &mut bombing => anyhow::bail!("the bomb ended: {outcome:?}"),
                beside = measured => beside?,
            };
            end.cancel();
            let outcome = bombing.await?;
            ensure!(outcome.termination == Termination::Cancelled, "the bomb: {outcome:?}");
            beside
        };
        other.destroy().await?;
        ratios.push(beside / alone);
        besides.push(beside);
        alones.push(alone);
    }
    tenant.destroy().await?;
    let (ratio, low, high) = median_interval(&ratios, &mut Random::new());
    let name = "95th percentile of a call beside a fork bomb / alone";
    Ok(Row::ratio(name, ratio, (low, high), Some(1.2), (median(&besides), median(&alones)), false))
}

/// The 95th percentile of so many calls, in milliseconds.
async fn block(tenant: &mut sandbox::Sandbox, calls: usize) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        native::run(tenant, &["/usr/bin/python3", "-I", "-S", "-c", "sum(range(20000))"]).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[calls * 95 / 100])
}

fn request() -> ExecRequest {
    ExecRequest {
        argv: ["/usr/bin/python3", "-I", "-S", "-c", BOMB].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: "/workspace".to_owned(),
        stdin: None,
        timeout: Duration::from_secs(60),
        grace: Limits::GRACE,
        stream_limit: Some(1000),
    }
}
