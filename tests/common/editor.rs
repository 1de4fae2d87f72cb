//! An editor's side of `mesh mcp`: JSON-RPC, one line each, over the pipes of a child.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

pub struct Editor {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Value>,
    last: u64,
    /// What came so far and was not asked for yet: notifications, and answers that came before others.
    pub notices: Vec<Value>,
}

impl Editor {
    /// Starts `mesh` with its files in `home`, and in that folder.
    pub fn start(home: &Path, arguments: &[&str]) -> Editor {
        Editor::in_folder(home, home, arguments)
    }

    /// Starts `mesh` in `folder`.
    pub fn in_folder(folder: &Path, home: &Path, arguments: &[&str]) -> Editor {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        for name in [
            "MESH_KEY",
            "MESH_KEY_FILE",
            "MESH_MESH",
            "MESH_AGENT",
            "MESH_RELAY",
        ] {
            command.env_remove(name);
        }
        command
            .arg("--home")
            .arg(home)
            .args(arguments)
            .current_dir(folder);
        Editor::run(command)
    }

    /// Starts `mesh` on a machine.
    pub fn on(machine: &super::Machine, arguments: &[&str]) -> Editor {
        let mut command = machine.command();
        command.args(arguments);
        Editor::run(command)
    }

    /// The tools as the server lists them.
    pub fn tools(&mut self) -> Vec<Value> {
        let answer = self.request("tools/list", json!({}));
        answer["result"]["tools"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Starts `command`, every line of whose output must be JSON.
    pub fn run(mut command: Command) -> Editor {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let message = serde_json::from_str(&line)
                    .unwrap_or_else(|_| panic!("no JSON on stdout: {line}"));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Editor {
            input: child.stdin.take(),
            child,
            output,
            last: 0,
            notices: Vec::new(),
        }
    }

    pub fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn initialize(&mut self, client: &str, version: &str) -> Value {
        let hello = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": client, "version": "1"}});
        let answer = self.request("initialize", hello);
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        answer["result"].clone()
    }

    /// Sends a request and returns its id.
    pub fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.write(&request.to_string());
        self.last
    }

    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id, Duration::from_secs(70))
    }

    /// The answer to request `id`, also one that came before; what comes before it is kept.
    pub fn answer(&mut self, id: u64, patience: Duration) -> Value {
        if let Some(at) = self.notices.iter().position(|message| message["id"] == id) {
            return self.notices.remove(at);
        }
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.output.recv_timeout(left).expect("an answer in time");
            if message["id"] == id {
                return message;
            }
            self.notices.push(message);
        }
    }

    /// The answer to one of these requests, whichever comes first, with its id.
    pub fn first_answer(&mut self, ids: &[u64]) -> (u64, Value) {
        let is_one = |message: &Value| message["id"].as_u64().filter(|id| ids.contains(id));
        loop {
            let at = self.notices.iter().position(|m| is_one(m).is_some());
            if let Some(message) = at.map(|at| self.notices.remove(at)) {
                return (is_one(&message).expect("one of them"), message);
            }
            let message = self.output.recv_timeout(Duration::from_secs(70));
            self.notices.push(message.expect("an answer in time"));
        }
    }

    /// Waits for a notification of `method`, also one that came before.
    pub fn notice(&mut self, method: &str, patience: Duration) -> Option<Value> {
        let until = Instant::now() + patience;
        loop {
            if let Some(at) = self
                .notices
                .iter()
                .position(|notice| notice["method"] == method)
            {
                return Some(self.notices.remove(at));
            }
            let left = until.saturating_duration_since(Instant::now());
            self.notices.push(self.output.recv_timeout(left).ok()?);
        }
    }

    /// The result of a tool: what its first text says, and all of it.
    pub fn call(&mut self, tool: &str, arguments: Value) -> (Value, Value) {
        let id = self.begin(tool, arguments);
        self.result(id)
    }

    /// Calls a tool and leaves its result for later.
    pub fn begin(&mut self, tool: &str, arguments: Value) -> u64 {
        self.send("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The result of a call that was begun: what its first text says, and all of it.
    pub fn result(&mut self, id: u64) -> (Value, Value) {
        let answer = self.answer(id, Duration::from_secs(70));
        let text = answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or("null");
        (
            serde_json::from_str(text).unwrap_or(Value::Null),
            answer["result"].clone(),
        )
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes the pipes and waits for the end.
    pub fn hang_up(&mut self) -> ExitStatus {
        self.input.take();
        self.child.wait().unwrap()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `from` asks bob, whose window `to` is, and sends 49 more at once, each to the address of its number: they arrive in that order,
/// and the question is answered.
pub fn sends_in_order(from: &mut Editor, to: &mut Editor, address: impl Fn(u32) -> &'static str) {
    let ask = from.begin(
        "ask_agent",
        json!({"to": "bob", "message": "0", "timeout": 50}),
    );
    for n in 1..50 {
        from.begin(
            "send_message",
            json!({"to": address(n), "message": n.to_string()}),
        );
    }
    let mut got = Vec::new();
    while got.len() < 50 {
        let (mail, _) = to.call("wait", json!({"timeout": 20}));
        got.extend(mail["messages"].as_array().expect("mail").clone());
    }
    let texts: Vec<_> = got.iter().map(|m| m["message"].clone()).collect();
    assert_eq!(
        texts,
        (0..50).map(|n| json!(n.to_string())).collect::<Vec<_>>()
    );
    assert!(got.iter().all(|m| m.get("late").is_none()), "{got:?}");
    to.call(
        "reply",
        json!({"message_id": got[0]["message_id"], "message": "here"}),
    );
    let (answer, _) = from.result(ask);
    assert_eq!(answer["answers"][0]["message"], "here", "{answer}");
}

/// bob, whose window `to` is, waits in several calls at once and asks ann as often, whose window `from` is, while mail comes from her:
/// each message comes once, and each question is answered.
pub fn waits_at_once(from: &mut Editor, to: &mut Editor) {
    const MAIL: usize = 60;
    const CALLS: usize = 4;
    let wait = |to: &mut Editor| to.begin("wait", json!({"timeout": 20}));
    let asks: Vec<u64> = (0..CALLS)
        .map(|n| {
            let question = json!({"to": "ann", "message": format!("q{n}"), "timeout": 50});
            to.begin("ask_agent", question)
        })
        .collect();
    let mut waits: Vec<u64> = (0..CALLS).map(|_| wait(to)).collect();
    let sent: Vec<String> = (0..MAIL).map(|n| n.to_string()).collect();
    let (mut got, mut asked) = (Vec::new(), 0);
    for (n, text) in sent.iter().enumerate() {
        from.begin("send_message", json!({"to": "bob", "message": text}));
        if n % 10 == 5 && asked < CALLS {
            let (questions, _) = from.call("wait", json!({"timeout": 20}));
            for question in questions["messages"].as_array().expect("questions") {
                let answer = format!("re {}", question["message"].as_str().unwrap());
                let question = &question["message_id"];
                from.begin("reply", json!({"message_id": question, "message": answer}));
                asked += 1;
            }
        }
        thread::sleep(Duration::from_millis(5 * (n as u64 % 4)));
    }
    while got.len() < MAIL {
        let (id, answer) = to.first_answer(&waits);
        let mail = &answer["result"]["structuredContent"];
        let mail = mail["messages"].as_array().expect("mail").clone();
        assert!(!mail.is_empty(), "lost: {:?}", missing(&sent, &got));
        got.extend(mail.into_iter().filter(|m| m["reply_to"].is_null()));
        waits.retain(|wait| *wait != id);
        waits.push(wait(to));
    }
    let odd = |m: &&Value| m.get("late").is_some() || m.get("unopened").is_some();
    assert_eq!(
        got.iter().filter(odd).collect::<Vec<_>>(),
        [&Value::Null; 0]
    );
    let (rest, _) = to.call("check_messages", json!({}));
    let rest = rest["messages"].as_array().expect("mail");
    got.extend(rest.iter().filter(|m| m["reply_to"].is_null()).cloned());
    assert_eq!(missing(&sent, &got), [""; 0]);
    assert_eq!(got.len(), MAIL, "some came twice: {got:?}");
    for (n, ask) in asks.into_iter().enumerate() {
        let (answer, _) = to.result(ask);
        assert_eq!(
            answer["answers"][0]["message"],
            format!("re q{n}"),
            "{answer}"
        );
    }
}

/// What was sent and not got.
fn missing<'a>(sent: &'a [String], got: &[Value]) -> Vec<&'a str> {
    let texts: Vec<&str> = got.iter().filter_map(|m| m["message"].as_str()).collect();
    let missing = sent.iter().filter(|text| !texts.contains(&text.as_str()));
    missing.map(String::as_str).collect()
}
