use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use gannet_agent_runtime::{AttachSpec, ErrorKind, RuntimeEvent, Status};
use gannet_agent_shim::frame::{Decoder, encode};
use gannet_agent_spec::limits;
use gannet_protocols_model::Resources;
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// What a shim answers whose release knows nothing but the oldest requests, or one whose words have grown since.
fn answer(request: &Value, later: bool) -> Vec<Value> {
    let seq = request["seq"].clone();
    let version = if later { 2 } else { 1 };
    let reply = |reply: Value| json!({"v": version, "seq": seq, "reply": reply});
    let exited =
        json!({"code": 3, "signal": null, "oom_killed": false, "at": 5, "known": true, "cause": "new"});
    let container = |id: &str, status: &str, exit: Value| json!({"id": id, "status": status, "pid": 1, "start_ticks": 1, "exit": exit, "mood": "new"});
    let state = json!({"state": {"containers": [
        container("a-0", "running", Value::Null), container("b-0", "exited", exited.clone()),
    ], "more": "new"}});
    match request["op"].as_str().unwrap() {
        "hello" => vec![reply(json!({"hello": {"pid": 4, "release": "new"}}))],
        "state" => vec![reply(state)],
        "subscribe" if later => vec![
            reply(json!("done")),
            json!({"v": 2, "event": {"exited": {"container": "b-0", "exit": exited, "more": 1}}}),
            // Words that nobody knows yet are passed over.
            json!({"v": 2, "event": {"paused": {"container": "a-0"}}}),
            json!({"v": 2, "gossip": true}),
        ],
        "subscribe" | "start" | "signal" | "delete" => vec![reply(json!("done"))],
        _ => vec![
            json!({"v": version, "seq": seq, "error": {"kind": "unknown_request", "message": "unknown to 1"}}),
        ],
    }
}

fn serve(mut stream: UnixStream, later: bool) {
    let mut decoder = Decoder::default();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        decoder.push(&bytes[..count]);
        while let Ok(Some(frame)) = decoder.next_frame() {
            for frame in answer(&serde_json::from_slice(&frame).unwrap(), later) {
                let _ = stream.write_all(&encode(&frame).unwrap());
            }
        }
    }
}

/// An agent finds a shim that was there before it, of one release earlier or later: it adopts what that one runs.
pub(crate) async fn a_shim_of_an_earlier_release() {
    for later in [false, true] {
        let mut fixture = Fixture::new().await;
        let uid: gannet_protocols_model::PodUid = crate::fixture::unique("old").parse().unwrap();
        let dir = fixture.run_dir().join("pods").join(uid.as_str());
        std::fs::create_dir_all(&dir).unwrap();
        // As the first release wrote it, or with a field of a later one.
        let mut sandbox = json!({"hostname": "old", "netns": null, "boot_id": ""});
        if later {
            sandbox["colour"] = "new".into();
        }
        std::fs::write(dir.join("sandbox.json"), sandbox.to_string()).unwrap();
        let listener = UnixListener::bind(dir.join("shim.sock")).unwrap();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream, later));
            }
        });
        fixture.restart().await;
        let status = fixture.wait_for_status(&uid, "a-0", Status::Running).await;
        assert!(!status.orphaned && status.pid == Some(1));
        if later {
            let event = tokio::time::timeout(Duration::from_secs(20), fixture.events.recv()).await.unwrap();
            let exited = matches!(&event, Some(RuntimeEvent::Exited { container, exit, .. })
                if container == "b-0" && exit.code == 3);
            assert!(exited, "{event:?}");
        }
        fixture.runtime().signal(&uid, "a-0", 15).await.unwrap();
        let asked: Resources = serde_json::from_str("{}").unwrap();
        let err = fixture.runtime().resize(&uid, "a-0", limits(&asked), None).await.unwrap_err();
        assert_eq!(err.kind(), Some(ErrorKind::UnknownRequest), "resize");
        let spec = AttachSpec { argv: vec!["sh".to_owned()], ..AttachSpec::default() };
        let err = fixture.runtime().attach_exec(&uid, "a-0", spec).await.unwrap_err();
        assert_eq!(err.kind(), Some(ErrorKind::UnknownRequest), "attach");
        // And it goes on.
        assert_eq!(fixture.status(&uid, "b-0").await.unwrap().status, Status::Exited);
        fixture.finish().await;
    }
}
