//! Two relays on one database, killed by turns while sixteen agents send through them.

mod common;

use common::agent::session_key;
use common::crowd::{Crowd, name, token};
use common::ledger::{first_arrivals, texts_and_ids};
use common::{eventually, http::Line, relay::Relay, socket::Socket};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const SENDERS: usize = 16;
const READERS: usize = 4;
const KILLS: usize = 8;
/// Messages that everybody has got through between two kills.
const BETWEEN: usize = 10;
/// More than it takes: only what is broken lets it pass.
const PATIENCE: Duration = Duration::from_secs(60);

struct Run {
    crowd: Crowd,
    ports: [u16; 2],
    no_more: AtomicBool,
    /// by sender: how much was acknowledged
    sent: [AtomicUsize; SENDERS],
    /// by reader: texts and ids in the order they came
    got: [Mutex<Vec<(String, String)>>; READERS],
}

#[test]
fn two_relays_killed_by_turns_lose_no_acknowledged_message_and_keep_the_order_of_each_sender() {
    let (crowd, first) = Crowd::new(SENDERS + READERS);
    let second = Relay::start(&crowd.database.url("mesh_relay"));
    let mut relays = [first, second];
    let run = Run {
        crowd,
        ports: [relays[0].port, relays[1].port],
        no_more: AtomicBool::new(false),
        sent: Default::default(),
        got: Default::default(),
    };
    thread::scope(|scope| {
        let run = &run;
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| scope.spawn(move || run.send_on(number)))
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|number| scope.spawn(move || run.read_on(number)))
            .collect();
        for kill in 0..KILLS {
            run.goes_on();
            relays[kill % 2].kill();
            // The other carries on alone.
            run.goes_on();
            relays[kill % 2].restart();
        }
        run.goes_on();
        run.no_more.store(true, Relaxed);
        senders
            .into_iter()
            .for_each(|s| s.join().expect("a sender"));
        readers
            .into_iter()
            .for_each(|r| r.join().expect("a reader"));
    });
    for (reader, got) in run.got.iter().enumerate() {
        let first = first_arrivals(&got.lock().unwrap());
        for sender in (reader..SENDERS).step_by(READERS) {
            let sent = run.sent[sender].load(Relaxed);
            let came = first
                .iter()
                .filter(|text| text.starts_with(&format!("{sender} ")));
            let came: Vec<&String> = came.collect();
            let all: Vec<String> = (0..sent).map(|n| format!("{sender} {n}")).collect();
            assert_eq!(came, all.iter().collect::<Vec<_>>());
        }
        println!(
            "{}: {} messages, {} arrivals",
            name(SENDERS + reader),
            first.len(),
            got.lock().unwrap().len()
        );
    }
}

impl Run {
    /// Waits until each sender has got through some more, and each reader has got some.
    fn goes_on(&self) {
        let count = || {
            let sent = self.sent.iter().map(|sent| sent.load(Relaxed));
            let got = self.got.iter().map(|got| got.lock().unwrap().len());
            sent.chain(got).collect::<Vec<_>>()
        };
        let before = count();
        eventually("messages flow", || {
            count()
                .iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + BETWEEN)
        });
    }

    /// Sends numbered messages to one reader, each until it is acknowledged; when a relay is gone, by the other.
    fn send_on(&self, number: usize) {
        let mut port = number;
        let mut line = None;
        for count in 0.. {
            if self.no_more.load(Relaxed) {
                return;
            }
            let text = format!("{number} {count}");
            let body =
                json!({"to": name(SENDERS + number % READERS), "message": text, "key": text});
            let begun = Instant::now();
            loop {
                assert!(begun.elapsed() < PATIENCE, "{text} was not acknowledged");
                let answer = line.as_mut().and_then(|line: &mut Line| {
                    line.start("send_message", &token(number), &body.to_string());
                    line.answer()
                });
                match answer {
                    Some((200, _)) => break,
                    Some((status, answer)) => assert_eq!(status, 503, "{text}: {answer}"),
                    None => {
                        port += 1;
                        line = Line::open(self.ports[port % 2]);
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
            self.sent[number].store(count + 1, Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Reads in one window that goes on by the other relay when its own is gone, until it is to stop and nothing comes.
    fn read_on(&self, number: usize) {
        let agent = self.crowd.agent(SENDERS + number);
        let key = session_key();
        let mut seen = json!([]);
        let begun = Instant::now();
        for port in number.. {
            assert!(
                begun.elapsed() < 2 * PATIENCE,
                "reader {number} gets nowhere"
            );
            thread::sleep(Duration::from_millis(20));
            let Some(mut socket) = Socket::try_connect(self.ports[port % 2], &agent.token) else {
                continue;
            };
            let opened = socket.try_call("open_session", agent.hello(&key, false));
            if !matches!(opened, Some(Ok(_))) {
                continue;
            }
            // By turns, as mail may be pushed meanwhile or not.
            for turn in 0.. {
                let over = self.no_more.load(Relaxed);
                let (function, mut arguments) = match turn % 2 {
                    0 => ("wait", json!({"timeout": 2})),
                    _ => ("check_messages", json!({"limit": 100})),
                };
                arguments["seen"] = seen.clone();
                match socket.try_call(function, arguments) {
                    None => break,
                    Some(Err(error)) => {
                        assert_eq!(error["code"], "ME503", "{error}");
                        thread::sleep(Duration::from_millis(20));
                    }
                    Some(Ok(mail)) => {
                        seen = json!([mail["claim"]]);
                        let came = texts_and_ids(&mail);
                        if over && turn % 2 == 0 && came.is_empty() {
                            return;
                        }
                        self.got[number].lock().unwrap().extend(came);
                    }
                }
            }
        }
    }
}
