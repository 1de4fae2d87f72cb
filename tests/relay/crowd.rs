//! A thousand agents at once: a room and a recipient that all write to.

use crate::common::agent::session_key;
use crate::common::crowd::{Crowd, name, sender_and_text, token};
use crate::common::{http, http::Line, socket::Socket};
use serde_json::json;
use std::collections::HashMap;
use std::thread;

/// All write, but for the last: to that one, or to the room, if they are in it.
const AGENTS: usize = 1000;
const HOT: usize = AGENTS - 1;
const MEMBERS: usize = 100;
/// Members with a window.
const WINDOWS: usize = 30;
const EACH: usize = 3;

fn texts() -> Vec<String> {
    (0..EACH).map(|n| n.to_string()).collect()
}

/// Agents, numbered from `first`, say their texts: all at once, and each the next one when it has its answer.
fn say(lines: &mut [Line], first: usize, to: &str) {
    for text in texts() {
        let body = json!({"to": to, "message": text}).to_string();
        for (number, line) in (first..).zip(lines.iter_mut()) {
            assert!(line.start("send_message", &token(number), &body));
        }
        for (number, line) in (first..).zip(lines.iter_mut()) {
            let (status, answer) = line.answer().expect("an answer");
            assert_eq!(status, 200, "{}: {answer}", name(number));
        }
    }
}

/// A recipient has all that each of so many senders said, in that order, and nothing else.
fn assert_complete(mail: Vec<(usize, String)>, senders: usize) {
    let mut said: HashMap<usize, Vec<String>> = HashMap::new();
    for (sender, text) in mail {
        said.entry(sender).or_default().push(text);
    }
    assert_eq!(said.len(), senders);
    for (sender, said) in said {
        assert_eq!(said, texts(), "from {}", name(sender));
    }
}

#[test]
fn a_thousand_agents_at_once_are_all_answered_and_all_of_it_arrives_in_order() {
    let (crowd, relay) = Crowd::new(AGENTS);
    let mut lines: Vec<Line> = (0..HOT)
        .map(|_| Line::open(relay.port).expect("the relay listens"))
        .collect();
    let members: Vec<String> = (1..MEMBERS).map(name).collect();
    let room = json!({"name": "hot", "members": members}).to_string();
    let (status, answer) = lines[0].call("create_room", &token(0), &room);
    assert_eq!(status, 200, "{answer}");

    thread::scope(|scope| {
        let windows: Vec<_> = (0..WINDOWS)
            .map(|number| Socket::window(&relay, &crowd.agent(number), &session_key()))
            .map(|window| scope.spawn(|| pushed(window, (MEMBERS - 1) * EACH)))
            .collect();
        let (members, others) = lines.split_at_mut(MEMBERS);
        scope.spawn(|| say(members, 0, "#hot"));
        scope.spawn(|| say(others, MEMBERS, &name(HOT)));
        for window in windows {
            assert_complete(window.join().expect("pushes"), MEMBERS - 1);
        }
    });
    assert_complete(crowd.mail(&relay, HOT), HOT - MEMBERS);
    for number in 0..MEMBERS {
        assert_complete(crowd.mail(&relay, number), MEMBERS - 1);
    }
    let metrics = http::get(&relay, "/metrics").body;
    let none = "mesh_calls_total{status=\"5xx\"} 0\n";
    assert!(metrics.contains(none), "{metrics}");
}

fn pushed(mut window: Socket, count: usize) -> Vec<(usize, String)> {
    let mut one = || {
        let message = window.push();
        window.receipt(&message["message_id"]);
        sender_and_text(&message)
    };
    (0..count).map(|_| one()).collect()
}
