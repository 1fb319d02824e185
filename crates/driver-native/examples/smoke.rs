//! Smoke.
use std::time::{Duration, Instant};
use sandbox::*;
use driver_native::*;
#[tokio::main]
async fn real() {
    let allow = if std::env::args().nth(1).as_deref() == Some("weak") { Wall::ALL.into_iter().collect() } else { Default::default() };
    let t=Instant::now();
    let driver = NativeDriver::start(Config{root: RootDirectory::Host, layer_roots: vec![], runtime_directory: None, allow_missing: allow, launcher: None}).await.map_err(|e| { println!("{e:?}"); e }).unwrap();
    println!("start {:?}", t.elapsed());
    println!("reap {:?}", driver.reap().await);
    for c in driver.checks().await { println!("{:?} {}: {}", c.state, c.name, c.detail); }
    for round in 0..5 {
        let spec = SandboxSpec{ id: SandboxId::new(format!("s{round}")).unwrap(), limits: Limits::standard(), lifetime: Duration::from_secs(60), layers: vec![]};
        let t=Instant::now();
        let mut s = match Sandbox::create(&driver, &spec).await { Ok(s)=>s, Err(e)=>{ println!("{e:?}"); break } };
        let created=t.elapsed();
        let cancel = tokio_util::sync::CancellationToken::new();
        for cmd in [vec!["true"], vec!["bash","-c","true"], vec!["python3","-I","-c","pass"], vec!["bash","-c","id; cat /proc/self/status | grep -E 'Cap|NoNew|Seccomp'; ls -la / /dev /etc; mount; ls /proc; touch /output/x /skills/y; ls -la /output; cat /proc/1/environ; ip a; hostname; df -h"]] {
            let t=Instant::now();
            let req=ExecRequest{argv:cmd.iter().map(|s|s.to_string()).collect(), env: vec![("PATH".into(),"/usr/local/bin:/usr/bin:/bin".into())], cwd:"/workspace".into(), stdin:None, timeout:Duration::from_secs(5), grace:Limits::GRACE, stream_limit:Some(100000)};
            let out = s.exec(&req,&cancel,&mut |_,_|{}).await.unwrap();
            if cmd.len()==3 && cmd[2].len()>10 { if round==0 {println!("{}\n--\n{}", out.stdout.head, out.stderr.head);} } else { println!("{:?} {:?} {:?} init says {:?}", cmd, out.termination, t.elapsed(), out.usage.wall); }
        }
        let t=Instant::now();
        let l=s.list_output(100).await.unwrap();
        println!("list {} {:?}", l.entries.len(), t.elapsed());
        let t=Instant::now();
        s.destroy().await.unwrap();
        println!("created {created:?} destroyed {:?}", t.elapsed());
    }
    driver.shutdown().await.unwrap();
}
fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some(LAUNCHER_COMMAND) { return run_launcher(); }
    real(); std::process::ExitCode::SUCCESS
}
