//! Who does not sign in, and what is signed for something else.

use crate::common::agent::{Pair, session_key};
use crate::common::http::post;
use serde_json::json;

#[test]
fn who_does_not_sign_in_gets_nothing_and_no_reason_to_guess() {
    let pair = Pair::new();
    let odd = [
        "",
        "authorization: \n",
        "authorization: Bearer\n",
        "authorization: Bearer \n",
        "authorization: Basic YTpi\n",
        "authorization: mt_0000\n",
        "authorization: Bearer mt_0000\n",
        "authorization: Bearer ' or 1=1 --\n",
        "authorization: Bearer \u{e9}\u{e9}\n",
        &format!("authorization: Bearer {}\n", "m".repeat(240)),
        &format!("authorization: Bearer {} x\n", pair.ann.token),
    ];
    for headers in odd {
        let answer = post(&pair.relay, "check_messages", headers, b"{}");
        answer.refusal(headers);
        assert_eq!(answer.status, 401, "{headers}: {answer:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer"),
            "{headers}"
        );
        assert!(!answer.body.contains(&pair.ann.token));
    }
    for headers in [
        format!("authorization: Bearer {}\n", "m".repeat(3000)),
        format!(
            "authorization: Bearer {}\nmesh: {}\n",
            pair.ann.token,
            "m".repeat(3000)
        ),
        format!(
            "authorization: Bearer {}\nmesh: no-such-mesh\n",
            pair.ann.token
        ),
        format!(
            "authorization: Bearer {}\nmesh-session: no-id\n",
            pair.ann.token
        ),
    ] {
        post(&pair.relay, "check_messages", &headers, b"{}").refusal(&headers);
    }
    let path = format!("whoami?token={}", pair.ann.token);
    let error = post(&pair.relay, &path, "", b"{}").refusal("a key in the URL");
    assert!(!error.to_string().contains(&pair.ann.token), "{error}");
    assert_eq!(pair.relay.health(), 200);
}

#[test]
fn a_signed_argument_that_is_not_of_this_call_is_refused() {
    let pair = Pair::new();
    let key = session_key();
    let good = pair.ann.hello(&key, false);
    let with = |name: &str, value: serde_json::Value| {
        let mut hello = good.clone();
        hello["hello"][name] = value;
        hello
    };
    let mut other_arguments = good.clone();
    other_arguments["session_key"] = json!(session_key());
    let mut other_function = good.clone();
    other_function["hello"] = pair.ann.sign(
        "close_session",
        &json!({"session_key": key, "takeover": false}),
    );
    let mut more = good.clone();
    more["cwd"] = json!("/added/later");
    for (what, hello) in [
        ("other arguments", other_arguments),
        ("another function", other_function),
        ("an argument added", more),
        ("no signature", with("signature", json!("00".repeat(64)))),
        ("short", with("signature", json!("00"))),
        ("another signer", with("signer", json!("11".repeat(32)))),
        ("no document", with("document", json!(null))),
        ("a changed document", with("document", json!("{}"))),
        ("a fourth member", with("more", json!(1))),
        (
            "a text",
            json!({"session_key": key, "takeover": false, "hello": "x"}),
        ),
        (
            "an array",
            json!({"session_key": key, "takeover": false, "hello": []}),
        ),
        ("left out", json!({"session_key": key, "takeover": false})),
    ] {
        let (status, error) =
            pair.relay
                .post("open_session", Some(&pair.ann.token), &hello.to_string());
        assert_eq!(
            (status, &error["code"]),
            (400, &json!("ME400")),
            "{what}: {error}"
        );
    }
    pair.call(&pair.ann, "open_session", good);
}
