//! Each call works alike over HTTP, at the command line and as a tool of an editor: the steps in `tests/surface/*.json`, made
//! three times.
//!
//! A step: `{"who", "call", "with", "is", "keep", "refused", "says"}`. `who` is the owner of a mesh, lead (an agent of the owner's,
//! which manages), ann or bob (guests), or eve (a guest of another mesh). `is` is part of the answer; in it `{"$some": x}` is a list
//! with an `x` in it, `{"$none": x}` one without, `{"$is": "a type"}` anything of that JSON type. `keep` names parts of the
//! answer, by JSON pointer, for later: `"$name"`. `refused` is the status of a refusal, `says` a part of its message.

mod common;

use common::{Machine, editor::Editor, http, postgres::Database, relay::Relay};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a call came to: its answer, or the error object.
type Outcome = Result<Value, Value>;

#[test]
fn over_http() {
    let mut world = World::new();
    walk(|who, call, with| world.post(who, call, with));
}

#[test]
fn at_the_command_line() {
    let world = World::new();
    walk(|who, call, with| world.run(who, call, with));
}

#[test]
fn as_tools_of_an_editor() {
    let mut world = World::new();
    walk(|who, call, with| world.ask(who, call, with));
}

/// Each call in a file is made as it should be, and as it should not.
#[test]
fn every_call_is_answered_and_refused() {
    for (name, steps) in files() {
        let of = |step: &Value| step["call"].as_str().unwrap_or_default().to_owned();
        let (refused, answered): (Vec<_>, Vec<_>) =
            steps.iter().partition(|step| step["refused"].is_u64());
        let calls = |steps: Vec<&Value>| steps.into_iter().map(of).collect::<BTreeSet<_>>();
        let checked = answered.into_iter().filter(|step| !step["is"].is_null());
        assert_eq!(calls(checked.collect()), calls(refused), "{name}");
    }
}

/// The files of steps, by name.
fn files() -> BTreeMap<String, Vec<Value>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surface");
    let files = std::fs::read_dir(folder).expect("the folder of steps");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("a file of steps");
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let steps = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name.into_owned(), steps)
        })
        .collect()
}

/// Makes the steps of all files, each by `act`.
fn walk(mut act: impl FnMut(&str, &str, &Map<String, Value>) -> Outcome) {
    let mut failures = Vec::new();
    for (name, steps) in files() {
        let mut kept = HashMap::new();
        for (n, step) in steps.iter().enumerate() {
            let with = filled(&step["with"], &kept);
            let with = with.as_object().cloned().unwrap_or_default();
            let word = |name: &str| step[name].as_str().unwrap_or_default();
            let outcome = act(word("who"), word("call"), &with);
            if let Err(why) = judge(step, &outcome, &mut kept) {
                failures.push(format!("{name} step {}: {step}\n  {why}", n + 1));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether an outcome is what the step says; keeps of it what the step names.
fn judge(step: &Value, outcome: &Outcome, kept: &mut HashMap<String, Value>) -> Result<(), String> {
    match (outcome, step["refused"].as_u64()) {
        (Ok(answer), None) => {
            let expected = filled(&step["is"], kept);
            if !expected.is_null() && !holds(answer, &expected) {
                return Err(format!("answered {answer}"));
            }
            for (name, pointer) in step["keep"].as_object().into_iter().flatten() {
                let part = answer.pointer(pointer.as_str().unwrap_or_default());
                let part = part.ok_or_else(|| format!("nothing at {pointer} of {answer}"))?;
                kept.insert(name.clone(), part.clone());
            }
            Ok(())
        }
        (Err(error), Some(status)) => {
            let says = step["says"].as_str().unwrap_or_default();
            let message = error["message"].as_str().unwrap_or_default();
            // What a command line cannot even say is refused before it is a call.
            let fits = error["code"] == format!("ME{status}") && message.contains(says)
                || status == 400 && error["code"] == "usage";
            fits.then_some(())
                .ok_or_else(|| format!("refused with {error}"))
        }
        (Ok(answer), Some(_)) => Err(format!("was not refused: {answer}")),
        (Err(error), None) => Err(format!("was refused: {error}")),
    }
}

/// `value` with what was kept in place of `"$name"`.
fn filled(value: &Value, kept: &HashMap<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$').and_then(|name| kept.get(name)) {
            Some(part) => part.clone(),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| filled(item, kept)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), filled(field, kept)))
            .collect(),
        _ => value.clone(),
    }
}

/// Whether `expected` is part of `value`: of an object some fields, of a list all elements.
fn holds(value: &Value, expected: &Value) -> bool {
    let Some(fields) = expected.as_object() else {
        return match (value.as_array(), expected.as_array()) {
            (Some(items), Some(wanted)) => {
                items.len() == wanted.len() && items.iter().zip(wanted).all(|(i, w)| holds(i, w))
            }
            _ => value == expected,
        };
    };
    let items = || value.as_array().into_iter().flatten();
    match fields.iter().next() {
        Some((word, wanted)) if word == "$some" => items().any(|item| holds(item, wanted)),
        Some((word, wanted)) if word == "$none" => {
            value.is_array() && !items().any(|item| holds(item, wanted))
        }
        Some((word, wanted)) if word == "$is" => wanted == type_of(value),
        _ => {
            value.is_object()
                && fields
                    .iter()
                    .all(|(name, wanted)| value.get(name).is_some_and(|field| holds(field, wanted)))
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Everybody who calls, with a machine each; lead has the owner's.
struct World {
    machines: HashMap<&'static str, Machine>,
    windows: HashMap<String, Editor>,
    catalogue: Vec<Value>,
    relay: Relay,
    _database: Database,
}

impl World {
    fn new() -> World {
        let database = Database::new();
        let relay = Relay::start(&database.url("mesh_relay"));
        let owner = Machine::account(&relay.url(), &database, "alice");
        owner.json(&["create", "proj"]);
        owner.json(&["setup", "lead", "--mesh", "proj"]);
        let other = Machine::account(&relay.url(), &database, "mallory");
        other.json(&["create", "theirs"]);
        let machines = HashMap::from([
            ("ann", Machine::guest(&owner, "proj", "ann")),
            ("bob", Machine::guest(&owner, "proj", "bob")),
            ("eve", Machine::guest(&other, "theirs", "eve")),
            ("owner", owner),
        ]);
        let catalogue = http::get(&relay, "/catalogue.json").json();
        let functions = catalogue["functions"].as_array().cloned();
        World {
            machines,
            windows: HashMap::new(),
            catalogue: functions.unwrap_or_default(),
            relay,
            _database: database,
        }
    }

    /// The machine of somebody, and what says there who calls.
    fn caller(&self, who: &str) -> (&Machine, Vec<&'static str>) {
        match who {
            "lead" => (
                &self.machines["owner"],
                vec!["--mesh", "proj", "--agent", "lead"],
            ),
            "owner" => (&self.machines["owner"], vec!["--mesh", "proj"]),
            guest => (&self.machines[guest], Vec::new()),
        }
    }

    fn post(&mut self, who: &str, call: &str, with: &Map<String, Value>) -> Outcome {
        let (machine, context) = self.caller(who);
        let told = machine.run(&[vec!["token"], context].concat());
        let token = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        let mesh = if who == "owner" { "mesh: proj\n" } else { "" };
        let body = Value::Object(with.clone()).to_string();
        let headers = format!("authorization: Bearer {token}\n{mesh}");
        let answer = http::post(&self.relay, call, &headers, body.as_bytes());
        match answer.status {
            200 => Ok(answer.json()),
            _ => Err(answer.refusal(call)),
        }
    }

    /// As a command: positionals in the order of the catalogue, everything else as options.
    fn run(&self, who: &str, call: &str, with: &Map<String, Value>) -> Outcome {
        let function = self.catalogue.iter().find(|f| f["name"] == call);
        let function = function.unwrap_or_else(|| panic!("there is no call {call}"));
        let cli = &function["cli"];
        let texts = |list: &Value| -> Vec<String> {
            let items = list.as_array().into_iter().flatten();
            items
                .filter_map(|t| t.as_str())
                .map(str::to_owned)
                .collect()
        };
        let positional: Vec<String> = texts(&cli["positional"])
            .into_iter()
            .filter(|name| name != "mesh")
            .collect();
        let arguments = function["arguments"].as_array().into_iter().flatten();
        let named = |name: &str| arguments.clone().find(|a| a["name"] == name);
        let mut words = texts(&cli["verb"]);
        for (name, value) in positional
            .iter()
            .filter_map(|name| with.get_key_value(name))
        {
            words.extend(plain(value, named(name)));
        }
        for (name, value) in with.iter().filter(|(name, _)| !positional.contains(name)) {
            words.extend(option(name, value, named(name)));
        }
        let (machine, context) = self.caller(who);
        let output = machine
            .command()
            .args(&words)
            .args(context)
            .arg("--json")
            .output()
            .expect("mesh starts");
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        Err(serde_json::from_str(last)
            .unwrap_or_else(|_| json!({"code": "usage", "message": text.trim()})))
    }

    /// As a tool. An account has no window, so what its owner does is posted.
    fn ask(&mut self, who: &str, call: &str, with: &Map<String, Value>) -> Outcome {
        if who == "owner" {
            return self.post(who, call, with);
        }
        if !self.windows.contains_key(who) {
            let (machine, context) = self.caller(who);
            let mut window = Editor::on(machine, &[vec!["mcp"], context].concat());
            window.initialize("test", "2025-11-25");
            self.windows.insert(who.to_owned(), window);
        }
        let window = self.windows.get_mut(who).expect("a window");
        let listed = window.tools().iter().any(|tool| tool["name"] == call);
        let (answer, result) = if listed {
            window.call(call, Value::Object(with.clone()))
        } else {
            window.call("call_tool", json!({"name": call, "arguments": with}))
        };
        match result["isError"] == true {
            true => Err(answer),
            false => Ok(answer),
        }
    }
}

/// A value as words of a command line: as JSON where the argument may be any.
fn plain(value: &Value, argument: Option<&Value>) -> Vec<String> {
    let is_any = argument.is_some_and(|argument| argument["schema"]["type"].is_null());
    match value {
        Value::Array(items) if !is_any => items.iter().flat_map(|i| plain(i, None)).collect(),
        Value::String(text) if !is_any => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// An option; those that every command has are called otherwise there. What is true or false by default is a switch.
fn option(name: &str, value: &Value, argument: Option<&Value>) -> Vec<String> {
    let word = name.replace('_', "-");
    let word = match name {
        "agent" | "mesh" | "relay" | "json" | "home" | "quiet" | "ca" => format!("with-{word}"),
        _ => word,
    };
    match (value, argument.map(|argument| &argument["default"])) {
        (Value::Bool(given), Some(Value::Bool(default))) if given == default => Vec::new(),
        (Value::Bool(true), Some(Value::Bool(_))) => vec![format!("--{word}")],
        (Value::Bool(false), Some(Value::Bool(_))) => vec![format!("--no-{word}")],
        (Value::Bool(given), _) => vec![format!("--{word}={given}")],
        _ => plain(value, argument)
            .into_iter()
            .flat_map(|value| [format!("--{word}"), value])
            .collect(),
    }
}
