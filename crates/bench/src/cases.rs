//! The paired rows: all cases in every round, in shuffled order.

use std::time::Instant;

use sandbox::{Limits, Sandbox};

use crate::http::Server;
use crate::native::{self, Native};
use crate::report::Row;
use crate::statistics::{Random, median, median_interval};
use crate::{host, report};

/// Rounds at the beginning that do not count.
const WARM_UP: usize = 2;

/// How far the reference's two names may differ before the run is void.
const REFERENCE_TOLERANCE: f64 = 0.15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    HostTrue,
    HostTrueAgain,
    HostSnippet,
    ColdTrue,
    SecondTrue,
    FirstCallHttp,
    SecondCallHttp,
    Bubblewrap,
}

/// What a row says: a case over a reference, with the goal.
const ROWS: [(&str, Case, Case, Option<f64>); 6] = [
    (
        "first tool call through HTTP, file stored / same Python on the host",
        Case::FirstCallHttp,
        Case::HostSnippet,
        Some(1.3),
    ),
    ("cold create + true + destroyed / fork+exec of true", Case::ColdTrue, Case::HostTrue, Some(3.5)),
    ("second call, bash true / fork+exec of true", Case::SecondTrue, Case::HostTrue, Some(2.0)),
    ("second call through HTTP, bash true / fork+exec of true", Case::SecondCallHttp, Case::HostTrue, None),
    ("bubblewrap true / fork+exec of true", Case::Bubblewrap, Case::HostTrue, None),
    ("reference / reference", Case::HostTrueAgain, Case::HostTrue, None),
];

/// Measures all paired rows.
pub(crate) async fn paired(native: &Native, server: &Server, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let mut cases = vec![
        Case::HostTrue,
        Case::HostTrueAgain,
        Case::HostSnippet,
        Case::ColdTrue,
        Case::SecondTrue,
        Case::FirstCallHttp,
        Case::SecondCallHttp,
    ];
    if host::has_bubblewrap() {
        cases.push(Case::Bubblewrap);
    }
    let mut warm = native.create(Limits::standard()).await?;
    server.call("warm", "0", "bash", "true")?;
    let mut random = Random::new();
    // Milliseconds per round and case.
    let mut measured: Vec<Vec<(Case, f64)>> = Vec::new();
    for round in 0..rounds + WARM_UP {
        random.shuffle(&mut cases);
        let mut times = Vec::new();
        for case in &cases {
            times.push((*case, measure(*case, round, native, server, &mut warm).await?));
        }
        if round >= WARM_UP {
            measured.push(times);
        }
        report::progress(round + 1, rounds + WARM_UP);
    }
    warm.destroy().await?;
    server.end("warm")?;
    let column = |case: Case| -> Vec<f64> {
        measured
            .iter()
            .filter_map(|times| times.iter().find(|(c, _)| *c == case).map(|(_, time)| *time))
            .collect()
    };
    let mut rows = Vec::new();
    for (name, case, reference, goal) in ROWS {
        let (ours, theirs) = (column(case), column(reference));
        if ours.is_empty() {
            continue;
        }
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let (ratio, low, high) = median_interval(&ratios, &mut random);
        let void = case == Case::HostTrueAgain && (ratio - 1.0).abs() > REFERENCE_TOLERANCE;
        rows.push(Row::ratio(name, ratio, (low, high), goal, (median(&ours), median(&theirs)), void));
    }
    Ok(rows)
}

async fn measure(
    case: Case,
    round: usize,
    native: &Native,
    server: &Server,
    warm: &mut Sandbox,
) -> anyhow::Result<f64> {
    let trigger = format!("first-{round}");
    let begun = Instant::now();
    match case {
        Case::HostTrue | Case::HostTrueAgain => host::run_true()?,
        Case::HostSnippet => host::run_snippet()?,
        Case::ColdTrue => native.cold_true().await?,
        Case::SecondTrue => native::run(warm, &["/usr/bin/bash", "-c", "true"]).await?,
        Case::FirstCallHttp => server.first_call(&trigger)?,
        Case::SecondCallHttp => server.call("warm", &format!("{round}-2"), "bash", "true").map(drop)?,
        Case::Bubblewrap => host::run_bubblewrap()?,
    }
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    if case == Case::FirstCallHttp {
        server.end(&trigger)?;
    }
    Ok(took)
}
