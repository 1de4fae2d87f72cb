//! Calls that hang, deadlock or make no sense, in the midst of the calls of others: nobody else waits for them, and nothing
//! is lost or done twice.

use crate::common::agent::session_key;
use crate::common::crowd::{Crowd, name, sender_and_text, token};
use crate::common::{http::Line, postgres::Database, relay::Relay, socket::Socket};
use serde_json::{Value, json};

/// Those who send while a call hangs, each a few messages to their neighbour.
const OTHERS: usize = 24;
const ROUNDS: usize = 3;

/// Messages with these texts hang in the database while they are stored, as a fault of the database would make them.
fn poison(database: &Database) {
    database.value(
        "create function public.poison() returns trigger language plpgsql as $$
         begin
           if new.body = 'slow' then
             perform pg_sleep(5);
           elsif new.body = 'for ever' then
             perform pg_sleep(1000);
           elsif new.body like 'lock %' then
             perform pg_advisory_xact_lock(substr(new.body, 6, 1)::integer);
             perform pg_sleep(0.1);
             perform pg_advisory_xact_lock(substr(new.body, 8, 1)::integer);
           end if;
           return new;
         end $$;
         create trigger poison before insert on mesh_data.message for each row execute function public.poison()",
    );
}

fn lines(relay: &Relay, count: usize) -> Vec<Line> {
    let open = |_| Line::open(relay.port).expect("the relay listens");
    (0..count).map(open).collect()
}

fn message(to: &str, text: &str) -> String {
    json!({"to": to, "message": text}).to_string()
}

/// The others send to their neighbours, all at once, and each gets its answers.
fn others_send(lines: &mut [Line], word: &str) {
    for round in 0..ROUNDS {
        for (number, line) in lines.iter_mut().enumerate() {
            let to = name((number + 1) % OTHERS);
            let text = format!("{word} {round}");
            line.start("send_message", &token(number), &message(&to, &text));
        }
        for line in lines.iter_mut() {
            let (status, answer) = line.answer().expect("an answer");
            assert_eq!(status, 200, "{answer}");
        }
    }
}

/// Each of the others has what its neighbour sent, once and in order.
fn others_have(crowd: &Crowd, relay: &Relay, words: &[&str]) {
    for number in 0..OTHERS {
        let from = (number + OTHERS - 1) % OTHERS;
        let texts = words
            .iter()
            .flat_map(|word| (0..ROUNDS).map(move |round| (from, format!("{word} {round}"))));
        assert_eq!(crowd.mail(relay, number), texts.collect::<Vec<_>>());
    }
}

#[test]
fn a_call_that_waits_for_a_lock_delays_only_its_own_caller() {
    let (crowd, relay) = Crowd::new(OTHERS + 4);
    let [talker, listener, late, reader] = [0, 1, 2, 3].map(|n| OTHERS + n);
    let mut talk = Socket::window(&relay, &crowd.agent(talker), &session_key());
    let room = json!({"name": "r", "members": [name(listener)], "mode": "reactive"});
    talk.call("create_room", room).expect("a room");
    let mut reading = Socket::window(&relay, &crowd.agent(reader), &session_key());
    let mut lines = lines(&relay, OTHERS + 1);

    let held = crowd
        .database
        .hold("select from mesh_data.room where name = 'r' for update");
    // Of one caller, so the second may not overtake the first.
    let stuck = talk.start("send_message", json!({"to": "#r", "message": "stuck"}));
    let behind = talk.start(
        "send_message",
        json!({"to": name(reader), "message": "behind"}),
    );
    // Others, some of them in its lane.
    others_send(&mut lines[..OTHERS], "meanwhile");
    let hello = message(&name(reader), "hello");
    let (status, answer) = lines[OTHERS].call("send_message", &token(late), &hello);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        reading.push()["message"],
        "hello",
        "nothing overtook the stuck call"
    );
    assert_eq!(lines[OTHERS].call("whoami", &token(listener), "{}").0, 200);
    drop(held);
    talk.answer(stuck).expect("sent once it could be");
    talk.answer(behind).expect("sent after it");
    assert_eq!(reading.push()["message"], "behind");
    others_have(&crowd, &relay, &["meanwhile"]);
    let heard = crowd.mail(&relay, listener);
    assert_eq!(heard, [(talker, "stuck".to_owned())]);
    assert!(crowd.mail(&relay, talker).is_empty());
}

#[test]
fn many_calls_that_wait_for_one_lock_delay_nobody_else() {
    let (crowd, relay) = Crowd::new(2 * OTHERS);
    let mut lines = lines(&relay, 2 * OTHERS);
    let room = json!({"name": "r", "members": ["*"], "mode": "moderated", "moderator": name(0)});
    let (status, answer) = lines[0].call("create_room", &token(0), &room.to_string());
    assert_eq!(status, 200, "{answer}");
    let held = crowd
        .database
        .hold("select from mesh_data.room where name = 'r' for update");
    let (others, stuck) = lines.split_at_mut(OTHERS);
    for (number, line) in stuck.iter_mut().enumerate() {
        line.start("join_room", &token(OTHERS + number), r##"{"room":"#r"}"##);
    }
    others_send(others, "meanwhile");
    let early = stuck.iter().filter(|line| line.has_answer()).count();
    assert_eq!(early, 0, "answered while the room was locked");
    drop(held);
    for line in stuck {
        let (status, answer) = line.answer().expect("an answer");
        assert_eq!(status, 200, "{answer}");
    }
    others_have(&crowd, &relay, &["meanwhile"]);
}

#[test]
fn a_call_that_takes_long_or_never_ends_delays_nobody_else() {
    let (crowd, relay) = Crowd::new(OTHERS + 3);
    poison(&crowd.database);
    let mut lines = lines(&relay, OTHERS + 2);
    let (others, hanging) = lines.split_at_mut(OTHERS);
    let to = name(OTHERS + 2);
    for (text, line) in ["slow", "for ever"].iter().zip(hanging.iter_mut()) {
        let caller = token(OTHERS + usize::from(*text == "for ever"));
        line.start("send_message", &caller, &message(&to, text));
        // In its batch, or right behind it.
        others_send(others, text);
    }
    let early = hanging.iter().filter(|line| line.has_answer()).count();
    assert_eq!(early, 0, "others were answered first");
    let (status, answer) = hanging[0].answer().expect("an answer");
    assert_eq!(status, 200, "it only took its time: {answer}");
    let (status, answer) = hanging[1].answer().expect("an answer");
    assert_eq!((status, &answer["code"]), (503, &json!("ME503")));
    others_have(&crowd, &relay, &["slow", "for ever"]);
    let mail = crowd.mail(&relay, OTHERS + 2);
    assert_eq!(
        mail,
        [(OTHERS, "slow".to_owned())],
        "what was undone is not there"
    );
}

#[test]
fn calls_that_deadlock_are_run_again_and_delay_nobody_else() {
    let (crowd, relay) = Crowd::new(OTHERS + 9);
    poison(&crowd.database);
    let mut lines = lines(&relay, OTHERS + 8);
    let (others, crossed) = lines.split_at_mut(OTHERS);
    let to = name(OTHERS + 8);
    for (number, line) in crossed.iter_mut().enumerate() {
        let text = ["lock 1 2", "lock 2 1"][number % 2];
        line.start("send_message", &token(OTHERS + number), &message(&to, text));
    }
    others_send(others, "meanwhile");
    for line in crossed.iter_mut() {
        let (status, answer) = line.answer().expect("an answer");
        assert_eq!(status, 200, "{answer}");
    }
    others_have(&crowd, &relay, &["meanwhile"]);
    let mut mail = crowd.mail(&relay, OTHERS + 8);
    mail.sort();
    let each = (0..8).map(|n| (OTHERS + n, ["lock 1 2", "lock 2 1"][n % 2].to_owned()));
    assert_eq!(mail, each.collect::<Vec<_>>(), "each once");
}

#[test]
fn calls_that_make_no_sense_are_refused_and_harm_none_of_their_batch() {
    let (crowd, relay) = Crowd::new(OTHERS + 2);
    let senseless = [
        ("send_message", json!({"to": name(1), "message": 7})),
        ("send_message", json!({"to": 5, "message": "x"})),
        ("send_message", json!({"to": name(1)})),
        (
            "send_message",
            json!({"to": name(1), "message": "x", "reply_to": "no id"}),
        ),
        (
            "send_message",
            json!({"to": name(1), "message": "x", "expires_in": 1e308}),
        ),
        (
            "send_message",
            json!({"to": name(1), "message": "x", "expires_in": -1e-320}),
        ),
        (
            "send_message",
            json!({"to": name(1), "message": "x", "mentions": [[1]]}),
        ),
        ("send_message", json!({"to": "nobody", "message": "x"})),
        ("ack_messages", json!({"message_ids": ["no id"]})),
        ("ack_messages", json!({"message_ids": [null]})),
        (
            "release_messages",
            json!({"message_ids": [], "retry_after": 1e300}),
        ),
        ("check_messages", json!({"limit": 1e100})),
        ("wait", json!({"timeout": 2e9})),
        ("set_status", json!({"status": "\u{202e}"})),
        ("no_such_call", json!({})),
    ];
    let mut lines = lines(&relay, OTHERS + senseless.len());
    let (others, refused) = lines.split_at_mut(OTHERS);
    for round in 0..2 {
        for (line, (function, arguments)) in refused.iter_mut().zip(&senseless) {
            line.start(function, &token(OTHERS), &arguments.to_string());
        }
        others_send(others, &round.to_string());
        for (line, sent) in refused.iter_mut().zip(&senseless) {
            let (status, answer) = line.answer().expect("an answer");
            assert!((400..500).contains(&status), "{sent:?}: {answer}");
        }
    }
    others_have(&crowd, &relay, &["0", "1"]);
    assert_eq!(relay.health(), 200);
}

/// Whatever is in a message, its sender is refused or its recipient gets just that; mail around it comes as ever.
#[test]
fn a_message_of_any_content_is_refused_or_delivered_as_it_is() {
    let (crowd, relay) = Crowd::new(3);
    let mut reading = Socket::window(&relay, &crowd.agent(0), &session_key());
    let mut line = Line::open(relay.port).expect("the relay listens");
    let digits = "9".repeat(300);
    let all: String = (1..0x3000u32).filter_map(char::from_u32).collect();
    let bodies = [
        json!("\u{feff}\u{202e}\u{200d}\u{ffff}\u{10ffff}\u{fdd0}").to_string(),
        json!("\r\n\t\u{1}\u{7f}\u{85}\u{2028}").to_string(),
        json!("e\u{301}\u{1f468}\u{200d}\u{1f469} '\"\\ $$ %s {} \\u0000 </script> \u{1b}[31m")
            .to_string(),
        json!(all).to_string(),
        r#""\ud83d\ude00""#.to_owned(),
        r#""\u0000""#.to_owned(),
        r#""a\u0000b""#.to_owned(),
        r#""\ud800""#.to_owned(),
        r#""\udc00\ud800""#.to_owned(),
    ];
    let data = [
        json!({"": "", "__proto__": {}, "a\u{301}": [null, true, 1.5]}).to_string(),
        format!(r#"{{"n":[{digits},-{digits},0.{digits},1e308,1E-400]}}"#),
        r#"{"a":1,"a":2}"#.to_owned(),
        r#"{"n":1e309}"#.to_owned(),
        r#"{"n":1e999999999}"#.to_owned(),
        r#"{"a":"\u0000"}"#.to_owned(),
        r#"{"\u0000":1}"#.to_owned(),
        r#"{"a":"\ud800"}"#.to_owned(),
        r#"{"n":NaN}"#.to_owned(),
        format!("{}{}", "[".repeat(120), "]".repeat(120)),
        format!("{}{}", "[".repeat(5000), "]".repeat(5000)),
        r#""text""#.to_owned(),
        "0".to_owned(),
    ];
    let calls = bodies
        .iter()
        .map(|body| format!(r#"{{"to":"a0","message":{body}}}"#))
        .chain(
            data.iter()
                .map(|data| format!(r#"{{"to":"a0","message":"data","data":{data}}}"#)),
        );
    let mut delivered = 0;
    for call in calls {
        let shown: String = call.chars().take(200).collect();
        let (status, answer) = line.call("send_message", &token(1), &call);
        let (after, _) = line.call("send_message", &token(2), &message("a0", "after"));
        assert_eq!(after, 200, "after {shown}");
        if status == 200 {
            let sent: Value = serde_json::from_str(&call).expect("valid, as it was taken");
            let pushed = reading.push();
            assert_eq!(pushed["message"], sent["message"], "{shown}");
            assert_eq!(pushed["data"], sent["data"], "{shown}");
            reading.receipt(&pushed["message_id"]);
            delivered += 1;
        } else {
            assert!((400..500).contains(&status), "{shown}: {answer}");
        }
        let next = reading.push();
        assert_eq!(sender_and_text(&next), (2, "after".to_owned()), "{shown}");
        reading.receipt(&next["message_id"]);
    }
    assert!(delivered >= 9, "{delivered} were delivered");
    assert_eq!(
        crowd.mail(&relay, 0).len(),
        delivered + bodies.len() + data.len()
    );
}
