//! The end of the whole runner.

use sandbox::fake::Program;
use tokio::time::{Instant, advance};

use super::{Bench, code, id, seconds};
use crate::{CallError, Declaration, DeclareError, ShutdownReport};

#[tokio::test(start_paused = true)]
async fn running_calls_finish_and_waiting_ones_are_sent_elsewhere() {
    let bench = Bench::new();
    let program = Program::new().sleep(seconds(10)).write("/output/a", "x").stdout("done");
    let running = bench.submit("a", code("1", &program)).await.unwrap();
    let waiting = bench.submit("a", code("2", &program)).await.unwrap();
    bench.result("idle", code("1", &Program::new())).await;
    advance(seconds(1)).await;
    let (report, refused) = tokio::join!(bench.runner.shutdown(), async {
        tokio::task::yield_now().await;
        bench.submit("b", code("1", &program)).await.unwrap_err()
    });
    assert_eq!(report, ShutdownReport { left: 0 });
    assert!(matches!(refused, CallError::ShuttingDown { .. }));
    let answer = running.await.unwrap();
    assert_eq!(answer.answer.result.result.as_ref().unwrap()["stdout"], "done");
    assert_eq!(bench.store.count(), 1);
    assert!(matches!(waiting.await, Err(CallError::ShuttingDown { .. })));
    bench.assert_all_destroyed();
    assert!(!bench.runner.load().accepting);
    let declared = bench.runner.declare(&id("c"), Declaration::default()).await;
    assert!(matches!(declared, Err(DeclareError::ShuttingDown { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_drain_has_an_end_and_can_be_cut_short() {
    for hurry in [false, true] {
        let bench = Bench::new();
        let program =
            Program::new().stdout("begun").write("/output/a", "x").ignore_sigterm().sleep(seconds(200));
        let running = bench.submit("a", code("1", &program)).await.unwrap();
        advance(seconds(1)).await;
        let begin = Instant::now();
        let (report, ()) = tokio::join!(bench.runner.shutdown(), async {
            if hurry {
                tokio::task::yield_now().await;
                bench.runner.shutdown_now();
            }
        });
        assert_eq!(report.left, 0);
        let took = begin.elapsed();
        assert!(
            if hurry { took < seconds(1) } else { took >= seconds(20) && took < seconds(22) },
            "{took:?}"
        );
        let answer = running.await.unwrap();
        let result = answer.answer.result.result.as_ref().unwrap();
        assert_eq!((result["cancelled"].as_bool(), result["stdout"].as_str()), (Some(true), Some("begun")));
        assert_eq!(answer.answer.result.files.len(), 1, "what it saved is captured, and named");
        assert_eq!(bench.store.count(), 1);
        assert!(bench.runner.status(&id("a")).await.is_some(), "and the trigger is known to have ended");
        bench.assert_all_destroyed();
    }
}
