//! Each call works alike over HTTP, at the command line and as a tool of an editor: the steps in `tests/surface/*.json`, made
//! three times.
//!
//! A step: `{"who", "call", "with", "is", "keep", "refused", "says", "data", "until", "meanwhile"}`. `who` is the owner of a mesh,
//! lead (an agent of the owner's, which manages), ann or bob (guests), or eve (a guest of another mesh, which is open) and
//! mallory (its owner). `is` is part of the answer; what stands for a value in it is in `holds`. `keep` names parts of the answer,
//! by JSON pointer, for later: `"$name"`. `refused` is the status of a refusal, `says` a part of its message, `data` of its data.
//! With `until` the call is made again until it comes to that. `meanwhile` are steps that are made while the call waits.
//!
//! `{"who", "window": true}` opens a window of an agent and waits until it is there, `false` closes it. In an editor a call opens
//! one, too.

mod common;

use common::{Machine, editor::Editor, eventually, http, postgres::Database, relay::Relay};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What a call came to: its answer, or the error object.
type Outcome = Result<Value, Value>;

/// Parts of answers, by the names that steps gave them.
type Kept = HashMap<String, Value>;

/// How calls are made. Over HTTP nobody seals, so the mesh is an open one there.
#[derive(Clone, Copy, PartialEq)]
enum Surface {
    Http,
    CommandLine,
    Editor,
}

#[test]
fn over_http() {
    walk(Surface::Http, 1);
}

#[test]
fn at_the_command_line() {
    // A process for each step.
    walk(Surface::CommandLine, 2);
}

#[test]
fn as_tools_of_an_editor() {
    walk(Surface::Editor, 1);
}

/// Each call in a file is made as it should be, and as it should not.
#[test]
fn every_call_is_answered_and_refused() {
    for (name, steps) in files() {
        let inner = steps.iter().filter_map(|step| step["meanwhile"].as_array());
        let steps = steps.iter().chain(inner.flatten());
        let of = |step: &Value| step["call"].as_str().unwrap_or_default().to_owned();
        let (refused, answered): (Vec<_>, Vec<_>) =
            steps.partition(|step| step["refused"].is_u64());
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

/// Makes the steps of all files, each file in one of so many worlds at once.
fn walk(surface: Surface, worlds: usize) {
    let mut parts = vec![Vec::new(); worlds];
    for file in files() {
        let shortest = parts.iter_mut().min_by_key(|part| {
            let steps = part.iter().map(|(_, steps): &(_, Vec<Value>)| steps.len());
            steps.sum::<usize>()
        });
        shortest.expect("a world").push(file);
    }
    let failures: Vec<String> = std::thread::scope(|scope| {
        let walk = |part| scope.spawn(move || walk_through(surface, part));
        let walks: Vec<_> = parts.into_iter().map(walk).collect();
        let failures = walks.into_iter().map(|walk| walk.join().expect("no panic"));
        failures.flatten().collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What was wrong in these files.
fn walk_through(surface: Surface, files: Vec<(String, Vec<Value>)>) -> Vec<String> {
    let mut world = World::new(surface);
    let mut failures = Vec::new();
    for (name, steps) in files {
        let mut kept = Kept::new();
        for (n, step) in steps.iter().enumerate() {
            if let Err(why) = make(&mut world, step, &mut kept) {
                failures.push(format!("{name} step {}: {why}", n + 1));
                break;
            }
        }
    }
    failures
}

/// Makes one step, and says what is wrong with what it came to.
fn make(world: &mut World, step: &Value, kept: &mut Kept) -> Result<(), String> {
    let word = |name: &str| step[name].as_str().unwrap_or_default();
    if let Some(is_open) = step["window"].as_bool() {
        world.window(word("who"), is_open);
        return Ok(());
    }
    let with = filled(&step["with"], kept);
    let with = with.as_object().cloned().unwrap_or_default();
    let start = Instant::now();
    loop {
        let begun = world.begin(word("who"), word("call"), &with);
        for inner in step["meanwhile"].as_array().into_iter().flatten() {
            make(world, inner, kept)?;
        }
        let why = match judge(step, &world.end(begun), kept) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if step["until"] != true || start.elapsed() > Duration::from_secs(30) {
            return Err(format!("{step}\n  {why}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether an outcome is what the step says; keeps of it what the step names.
fn judge(step: &Value, outcome: &Outcome, kept: &mut Kept) -> Result<(), String> {
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
            let data = filled(&step["data"], kept);
            // What a command line cannot even say is refused before it is a call.
            let fits = error["code"] == format!("ME{status}")
                && message.contains(says)
                && error["hint"].is_string()
                && (data.is_null() || holds(&error["data"], &data))
                || status == 400 && error["code"] == "usage";
            fits.then_some(())
                .ok_or_else(|| format!("refused with {error}"))
        }
        (Ok(answer), Some(_)) => Err(format!("was not refused: {answer}")),
        (Err(error), None) => Err(format!("was refused: {error}")),
    }
}

/// `value` with what was kept in place of `"$name"`.
fn filled(value: &Value, kept: &Kept) -> Value {
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

/// Whether `expected` is part of `value`: of an object some fields, of a list all elements. What holds of a value: `{"$some": x}`
/// and `{"$none": x}` of a list with an `x` in it and of one without, `{"$is": "a type"}`, `{"$least": a number}`, and
/// `{"$says": a text in it}`.
fn holds(value: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, wanted)| {
            let items = || value.as_array().into_iter().flatten();
            match name.as_str() {
                "$some" => items().any(|item| holds(item, wanted)),
                "$none" => value.is_array() && !items().any(|item| holds(item, wanted)),
                "$is" => wanted == type_of(value),
                "$least" => value.as_f64() >= wanted.as_f64() && value.is_number(),
                "$says" => {
                    let part = wanted.as_str().unwrap_or_default();
                    value.as_str().is_some_and(|text| text.contains(part))
                }
                field => value.get(field).is_some_and(|found| holds(found, wanted)),
            }
        }),
        Value::Array(wanted) => value.as_array().is_some_and(|items| {
            items.len() == wanted.len() && items.iter().zip(wanted).all(|(i, w)| holds(i, w))
        }),
        _ => value == expected,
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
    surface: Surface,
    machines: HashMap<&'static str, Machine>,
    windows: HashMap<String, Editor>,
    tokens: HashMap<String, String>,
    catalogue: Vec<Value>,
    relay: Relay,
    _database: Database,
}

/// A call that waits for its outcome.
enum Begun {
    Posted(http::Line),
    Run(Child),
    Asked(String, u64),
}

impl World {
    fn new(surface: Surface) -> World {
        let database = Database::new();
        let relay = Relay::start(&database.url("mesh_relay"));
        let owner = Machine::account(&relay.url(), &database, "alice");
        match surface {
            Surface::Http => owner.open_mesh("proj"),
            _ => drop(owner.json(&["create", "proj"])),
        }
        owner.json(&["setup", "lead", "--mesh", "proj"]);
        let other = Machine::account(&relay.url(), &database, "mallory");
        other.open_mesh("theirs");
        let machines = HashMap::from([
            ("ann", Machine::guest(&owner, "proj", "ann")),
            ("bob", Machine::guest(&owner, "proj", "bob")),
            ("eve", Machine::guest(&other, "theirs", "eve")),
            ("owner", owner),
            ("mallory", other),
        ]);
        let catalogue = http::get(&relay, "/catalogue.json").json();
        let functions = catalogue["functions"].as_array().cloned();
        World {
            surface,
            machines,
            windows: HashMap::new(),
            tokens: HashMap::new(),
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
            "mallory" => (&self.machines["mallory"], vec!["--mesh", "theirs"]),
            guest => (&self.machines[guest], Vec::new()),
        }
    }

    fn begin(&mut self, who: &str, call: &str, with: &Map<String, Value>) -> Begun {
        match self.surface {
            Surface::Http => Begun::Posted(self.post(who, call, with)),
            // An account has no window.
            Surface::Editor if !matches!(who, "owner" | "mallory") => {
                Begun::Asked(who.to_owned(), self.ask(who, call, with))
            }
            _ => Begun::Run(self.run(who, call, with)),
        }
    }

    fn end(&mut self, begun: Begun) -> Outcome {
        match begun {
            Begun::Posted(mut line) => match line.answer().expect("an answer") {
                (200, answer) => Ok(answer),
                (_, error) => Err(error),
            },
            Begun::Run(child) => {
                let output = child.wait_with_output().expect("mesh ends");
                if output.status.success() {
                    return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
                }
                let text = String::from_utf8_lossy(&output.stderr);
                let last = text.lines().last().unwrap_or_default();
                Err(serde_json::from_str(last)
                    .unwrap_or_else(|_| json!({"code": "usage", "message": text.trim()})))
            }
            Begun::Asked(who, id) => {
                let window = self.windows.get_mut(&who).expect("a window");
                let (answer, result) = window.result(id);
                match result["isError"] == true {
                    true => Err(answer),
                    false => Ok(answer),
                }
            }
        }
    }

    fn post(&mut self, who: &str, call: &str, with: &Map<String, Value>) -> http::Line {
        if !self.tokens.contains_key(who) {
            let (machine, context) = self.caller(who);
            let told = machine.run(&[vec!["token"], context].concat());
            let token = String::from_utf8_lossy(&told.stdout).trim().to_owned();
            self.tokens.insert(who.to_owned(), token);
        }
        let mesh = match who {
            "owner" => "\r\nmesh: proj",
            "mallory" => "\r\nmesh: theirs",
            _ => "",
        };
        let headers = format!("authorization: Bearer {}{mesh}", self.tokens[who]);
        let mut line = http::Line::open(self.relay.port).expect("the relay listens");
        line.start_with(call, &headers, &Value::Object(with.clone()).to_string());
        line
    }

    /// As a command: positionals in the order of the catalogue, everything else as options.
    fn run(&self, who: &str, call: &str, with: &Map<String, Value>) -> Child {
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
        machine
            .command()
            .args(&words)
            .args(context)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mesh starts")
    }

    /// As a tool; the id of the request.
    fn ask(&mut self, who: &str, call: &str, with: &Map<String, Value>) -> u64 {
        let function = self.catalogue.iter().find(|f| f["name"] == call);
        let door = match function.is_some_and(|f| f["destructive"] == true) {
            true => "call_destructive_tool",
            false => "call_tool",
        };
        let window = self.opened(who);
        let listed = window.tools().iter().any(|tool| tool["name"] == call);
        let (tool, arguments) = match listed {
            true => (call, Value::Object(with.clone())),
            false => (door, json!({"name": call, "arguments": with})),
        };
        window.begin(tool, arguments)
    }

    /// The window of an agent.
    fn opened(&mut self, who: &str) -> &mut Editor {
        if !self.windows.contains_key(who) {
            let (machine, context) = self.caller(who);
            let mut window = Editor::on(machine, &[vec!["mcp"], context].concat());
            window.initialize("test", "2025-11-25");
            self.windows.insert(who.to_owned(), window);
        }
        self.windows.get_mut(who).expect("a window")
    }

    /// Opens or closes the window of an agent, and waits until others see it.
    fn window(&mut self, who: &str, is_open: bool) {
        if is_open {
            self.opened(who);
        } else if let Some(mut window) = self.windows.remove(who) {
            window.hang_up();
        }
        let with = Map::from_iter([("agent".to_owned(), who.into())]);
        eventually("the window is seen", || {
            let (_, status) = self
                .post("owner", "get_agent_status", &with)
                .answer()
                .expect("an answer");
            let is_silent = holds(&status["why"], &json!({"$says": "window"}));
            is_silent != is_open
        });
    }
}

/// A value as words of a command line: as JSON where the argument may be any, a list where it is one text with commas.
fn plain(value: &Value, argument: Option<&Value>) -> Vec<String> {
    let kind = argument.map_or(&Value::Null, |argument| &argument["schema"]["type"]);
    let is_any = argument.is_some() && kind.is_null();
    match value {
        Value::Array(items) if kind == "string" => {
            let items = items.iter().flat_map(|i| plain(i, None));
            vec![items.collect::<Vec<_>>().join(",")]
        }
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
