//! A client that calls as fast as it can: it is slowed down, and nobody else is.

use crate::common::crowd::{Crowd, name, token};
use crate::common::http::Line;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Connections of the one that floods, and how often each calls.
const CONNECTIONS: usize = 50;
const CALLS: usize = 40;
const OTHERS: usize = 10;

#[test]
fn a_flood_of_one_key_is_slowed_down_and_all_calls_of_others_are_served() {
    let (crowd, relay) = Crowd::new(OTHERS + 2);
    let (flooder, reader) = (OTHERS, OTHERS + 1);
    let (accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    let open = || Line::open(relay.port).expect("the relay listens");
    // It is known; before it has signed in once, only its connections limit it.
    assert_eq!(open().call("whoami", &token(flooder), "{}").0, 200);
    thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS)
            .map(|number| {
                let (mut line, is_over) = (open(), &is_over);
                let body = json!({"to": name((number + 1) % OTHERS), "message": "hello"});
                scope.spawn(move || {
                    for sent in 1.. {
                        let was_over = is_over.load(Relaxed);
                        let (status, answer) =
                            line.call("send_message", &token(number), &body.to_string());
                        assert_eq!(status, 200, "while another floods: {answer}");
                        if was_over {
                            return sent;
                        }
                        // Far from what a key may do.
                        thread::sleep(std::time::Duration::from_millis(50));
                    }
                    0
                })
            })
            .collect();
        let flood: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let mut line = open();
                let (accepted, refused) = (&accepted, &refused);
                scope.spawn(move || {
                    let body = json!({"to": name(reader), "message": "flood"}).to_string();
                    for _ in 0..CALLS {
                        let (status, answer) = line.call("send_message", &token(flooder), &body);
                        if status == 200 {
                            accepted.fetch_add(1, Relaxed);
                            continue;
                        }
                        assert_eq!(status, 429, "{answer}");
                        assert_eq!(answer["code"], "ME429");
                        let after = answer["data"]["retry_after"].as_u64();
                        assert!(after.is_some_and(|after| after >= 1), "{answer}");
                        refused.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        flood
            .into_iter()
            .for_each(|run| run.join().expect("the flood"));
        is_over.store(true, Relaxed);
        let sent: Vec<usize> = others
            .into_iter()
            .map(|run| run.join().expect("another"))
            .collect();
        for (number, sent) in sent.into_iter().enumerate() {
            let mail = crowd.mail(&relay, (number + 1) % OTHERS);
            assert_eq!(mail.len(), sent, "what {} sent", name(number));
        }
    });
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    assert!(
        accepted >= 100 && refused >= 100,
        "{accepted} and {refused}"
    );
    // What was accepted was sent, and nothing that was refused.
    assert_eq!(crowd.mail(&relay, reader).len(), accepted);
}
