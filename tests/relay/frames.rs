//! Calls over a socket: ids, waits, cancels, and frames that are none.

use crate::common::agent::{Pair, session_key, texts};
use crate::common::socket::Socket;
use serde_json::{Value, json};

#[test]
fn answers_carry_the_id_of_their_call_whatever_comes_first() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    bob.say(r#"{"id":"a wait","call":"wait","args":{"timeout":50}}"#);
    bob.say(r#"{"id":-7,"call":"whoami"}"#);
    bob.say(r#"{"id":1.50,"call":"no_such_call","args":{}}"#);
    let who = bob.answer(-7).expect("an answer while the other waits");
    assert_eq!(who["agent"], "bob");
    assert_eq!(bob.answer(1.5).expect_err("no such call")["code"], "ME400");
    pair.send("now");
    assert_eq!(texts(&bob.answer("a wait").expect("mail")), ["now"]);
}

#[test]
fn a_cancelled_wait_ends_at_once_and_takes_no_mail() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    let waiting = bob.start("wait", json!({"timeout": 50}));
    bob.call("whoami", json!({})).expect("in order");
    bob.say(json!({"type": "cancel", "id": waiting}).to_string());
    let error = bob.answer(waiting).expect_err("cancelled");
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("ME409"), &json!("cancelled"))
    );
    pair.send("later");
    assert_eq!(pair.peek(), ["later"]);
    // An id that nobody waits under, and one that is done, change nothing.
    bob.say(json!({"type": "cancel", "id": waiting}).to_string());
    bob.say(r#"{"type":"cancel","id":"never"}"#);
    assert_eq!(
        texts(&bob.call("wait", json!({"timeout": 50})).expect("mail")),
        ["later"]
    );
}

#[test]
fn a_wait_of_no_time_or_too_much_is_answered() {
    let pair = Pair::new();
    let mut bob = Socket::window(&pair.relay, &pair.bob, &session_key());
    for seconds in [0, 1] {
        let answer = bob
            .call("wait", json!({"timeout": seconds}))
            .expect("an answer");
        assert_eq!(
            (&answer["pending"], &answer["messages"]),
            (&json!(true), &json!([]))
        );
    }
    for wrong in [
        json!(56),
        json!(-1),
        json!(1e300),
        json!("5"),
        json!([]),
        json!(1.5),
    ] {
        let error = bob
            .call("wait", json!({"timeout": wrong}))
            .expect_err("no such time");
        assert_eq!(error["code"], "ME400", "{wrong}");
    }
}

#[test]
fn malformed_frames_are_answered_and_the_socket_goes_on() {
    let pair = Pair::new();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let deep = format!(
        r#"{{"id":6,"call":"whoami","args":{}{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for (frame, id) in [
        ("", json!(null)),
        ("nonsense", json!(null)),
        ("null", json!(null)),
        ("[]", json!(null)),
        ("{", json!(null)),
        ("{}", json!(null)),
        (r#"{"call":"whoami"}"#, json!(null)),
        (r#"{"id":{},"call":"whoami"}"#, json!(null)),
        (r#"{"id":1,"call":5}"#, json!(null)),
        (r#"{"id":2}"#, json!(2)),
        (r#"{"id":3,"type":"push"}"#, json!(3)),
        (r#"{"id":4,"call":"whoami","args":[]}"#, json!(4)),
        (r#"{"id":5,"call":"whoami","args":null}"#, json!(5)),
        (
            r#"{"id":7,"call":"send_message","args":{"to":"ann","message":"\u0000"}}"#,
            json!(7),
        ),
        (r#"{"id":8,"call":"../x"}"#, json!(8)),
        (r#"{"id":9,"call":"__proto__"}"#, json!(9)),
        (r#"{"id":10,"call":"whoami","args":{"x":1}}"#, json!(10)),
        (
            r#"{"id":11,"call":"whoami","mesh":"no-such-mesh"}"#,
            json!(11),
        ),
        (r#"{"type":"receipt","ids":["x"]}"#, json!(null)),
        (r#"{"type":"auth","token":"mt_x"}"#, json!(null)),
        (&deep, json!(6)),
    ] {
        bob.say(frame);
        let shown = &frame[..frame.len().min(80)];
        let answer = bob.frame().unwrap_or_else(|| panic!("closed: {shown}"));
        // What a client leaves out and what it sends as null are not always told apart.
        let fine = frame.contains(r#""args":null"#) && answer["result"].is_object();
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        assert!(fine || code.starts_with("ME4"), "{shown}: {answer}");
        assert_eq!(answer["id"], id, "{shown}: {answer}");
    }
    bob.say_binary(b"bytes");
    assert_eq!(
        bob.frame().expect("an answer")["error"]["code"],
        json!("ME400")
    );
    assert_eq!(
        bob.call("whoami", json!({})).expect("alive")["agent"],
        "bob"
    );
}

#[test]
fn a_frame_that_is_too_large_ends_the_socket_with_the_reason() {
    let pair = Pair::new();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let large = "x".repeat(16 << 20);
    bob.say(json!({"id": 1, "call": "send_message", "args": {"message": large}}).to_string());
    assert_eq!(bob.ended()["code"], "ME413");
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn more_calls_than_a_socket_may_leave_open_are_told_to_slow_down() {
    let pair = Pair::new();
    let mut bob = Socket::connect(&pair.relay, &pair.bob.token);
    let ids: Vec<u64> = (0..70)
        .map(|_| bob.start("wait", json!({"timeout": 50})))
        .collect();
    let refused: Vec<Value> = ids[64..]
        .iter()
        .filter_map(|id| bob.answer(*id).err())
        .collect();
    assert_eq!(refused.len(), 6);
    assert!(
        refused
            .iter()
            .all(|error| error["code"] == "ME429" && error["data"]["retry_after"] == 1)
    );
}
