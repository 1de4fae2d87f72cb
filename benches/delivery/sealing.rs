//! What sealing a message costs its sender, and opening it a reader: in this program, without relay or database.

use crate::{
    crypto::{
        Signer,
        envelope::{self, Draft, Reader, Signing},
    },
    measure::milliseconds,
    report::{Report, Row, percentile},
};
use serde_json::{Map, Value, json};
use std::{hint::black_box, time::Instant};
use time::OffsetDateTime;

const MESH: &str = "0199b2c0-0000-7000-8000-000000000001";
const BODY: usize = 300;

/// A window with its identity, and those it writes to.
struct Sender {
    identity: Signer,
    session: Signer,
    hello: Value,
    friends: Vec<Signer>,
    body: Map<String, Value>,
}

pub fn run(report: &mut Report) {
    let sender = Sender::with_friends(100);
    for (recipients, rounds) in [(1, 2_000), (10, 500), (100, 100)] {
        let seal = || sender.seal(&sender.readers(recipients));
        let times = (0..rounds).map(|_| timed(seal));
        let scenario = format!("j sealing for {recipients}");
        report.row(row(scenario, times.collect(), Some(recipients)));
    }
    let readers = sender.readers(1);
    let mut envelope = sender.seal(&readers);
    envelope["box"] = envelope["boxes"]["agent-0"].clone();
    let key = sender.identity.public_key();
    let open = || envelope::open(&envelope, &sender.friends[0], &key).expect("it opens");
    let times = (0..2_000).map(|_| timed(open)).collect();
    report.row(row("j opening one".into(), times, None));
}

fn row(scenario: String, mut times: Vec<f64>, recipients: Option<usize>) -> Row {
    let median = percentile(&mut times, 50.0) * 1000.0;
    let mut more = Map::new();
    more.insert("median_us".into(), json!(median.round()));
    if let Some(recipients) = recipients {
        let each = (median / recipients as f64 * 10.0).round() / 10.0;
        more.insert("us_per_recipient".into(), json!(each));
    }
    Row {
        scenario,
        n: Some(times.len() as u64),
        latency: "in the client",
        times,
        more,
        ..Row::default()
    }
}

fn timed<T>(work: impl Fn() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    milliseconds(start.elapsed())
}

impl Sender {
    fn with_friends(number: usize) -> Sender {
        let (identity, session) = (Signer::generate(), Signer::generate());
        let arguments = json!({"session_key": session.public_key()});
        let hello = identity.sign_call("open_session", &arguments, Some(MESH));
        Sender {
            identity,
            session,
            hello,
            friends: (0..number).map(|_| Signer::generate()).collect(),
            body: Map::from_iter([("message".to_owned(), "x".repeat(BODY).into())]),
        }
    }

    fn readers(&self, number: usize) -> Vec<Reader> {
        let readers = self.friends.iter().take(number).enumerate();
        let reader = |(at, key): (usize, &Signer)| {
            Reader::new(&format!("agent-{at}"), &key.public_key()).expect("a key")
        };
        readers.map(reader).collect()
    }

    fn seal(&self, readers: &[Reader]) -> Value {
        let draft = Draft {
            function: "send_message",
            arguments: &Map::new(),
            mesh: MESH,
            sender: "agent",
            id: &envelope::new_id(),
            key: None,
            sent_at: OffsetDateTime::now_utc(),
            body: &self.body,
        };
        let signing = Signing {
            identity: &self.identity,
            session: Some((&self.session, &self.hello)),
        };
        envelope::seal(&draft, &signing, readers).expect("it is small")
    }
}
