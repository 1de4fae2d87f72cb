use super::*;
use crate::catalogue::Verb;
use clap::error::ErrorKind;
use serde_json::{Map, Value, json};

fn built(catalogue: &Catalogue, options: &[&str]) -> Command {
    let base = Command::new("mesh")
        .arg(Arg::new("agent").long("agent").global(true))
        .arg(Arg::new("mesh").long("mesh").global(true))
        .subcommand(Command::new("login"));
    let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
    add(base, catalogue, &options)
}

/// Function, arguments and mesh of a command line.
type Parsed = (String, Map<String, Value>, Option<String>);

fn parse(line: &str) -> std::result::Result<Parsed, ErrorKind> {
    let catalogue = Catalogue::embedded();
    let words: Vec<&str> = line.split(' ').collect();
    let options: Vec<_> = words
        .iter()
        .filter_map(|word| word.strip_prefix("--")?.split('=').next())
        .collect();
    let matches = built(&catalogue, &options)
        .try_get_matches_from(&words)
        .map_err(|e| e.kind())?;
    let (first, mut inner) = matches.subcommand().unwrap();
    let mut path = vec![first];
    if let Some((second, below)) = inner.subcommand() {
        path.push(second);
        inner = below;
    }
    let function = function(&catalogue, &path).unwrap();
    let (arguments, mesh) = values::read(function, inner, "from stdin\n".as_bytes()).unwrap();
    Ok((function.name.clone(), arguments, mesh))
}

#[test]
fn every_function_with_a_verb_is_a_command_clap_accepts() {
    let catalogue = Catalogue::embedded();
    built(&catalogue, &[]).debug_assert();
    built(&catalogue, &["mesh"]).debug_assert();
    for function in &catalogue.functions {
        let Some(cli) = &function.cli else { continue };
        let mut command = &built(&catalogue, &[]);
        for word in &cli.verb {
            command = command
                .find_subcommand(word)
                .unwrap_or_else(|| panic!("{word} of {}", function.name));
        }
    }
}

#[test]
fn words_become_arguments_by_their_types() {
    let (name, arguments, _) = parse(r#"mesh send ui hello --data {"a":1}"#).unwrap();
    assert_eq!(
        (name.as_str(), Value::Object(arguments)),
        (
            "send_message",
            json!({"to": "ui", "message": "hello", "data": {"a": 1}})
        )
    );
    let (_, arguments, mesh) = parse("mesh invite proj ui --days 3").unwrap();
    assert_eq!(
        (Value::Object(arguments), mesh.as_deref()),
        (json!({"agent": "ui", "days": 3}), Some("proj"))
    );
    let (_, arguments, _) = parse("mesh ack a,b c").unwrap();
    assert_eq!(
        Value::Object(arguments),
        json!({"message_ids": ["a", "b", "c"]})
    );
    let (_, arguments, _) = parse("mesh inbox --peek").unwrap();
    assert_eq!(Value::Object(arguments), json!({"peek": true}));
    assert_eq!(parse("mesh inbox").unwrap().1.len(), 0);
}

#[test]
fn a_dash_reads_the_last_text_from_stdin() {
    assert_eq!(
        parse("mesh send ui -").unwrap().1["message"],
        "from stdin\n"
    );
    assert_eq!(parse("mesh send - hello").unwrap().1["to"], "-");
}

#[test]
fn the_mesh_is_a_positional_unless_an_option_names_it() {
    assert_eq!(
        parse("mesh --mesh proj invite ui").unwrap().1["agent"],
        "ui"
    );
    assert_eq!(
        parse("mesh invite ui").unwrap_err(),
        ErrorKind::MissingRequiredArgument
    );
    assert_eq!(
        parse("mesh member revoke").unwrap_err(),
        ErrorKind::MissingRequiredArgument
    );
    assert_eq!(parse("mesh board").unwrap().2, None);
    assert_eq!(
        parse("mesh member list proj").unwrap().2.as_deref(),
        Some("proj")
    );
}

#[test]
fn what_is_taken_in_order_may_be_named_instead() {
    let send = json!({"to": "ui", "message": "hi"});
    for line in [
        "mesh send --to ui hi",
        "mesh send ui --message hi",
        "mesh send --message=hi ui",
        "mesh send --message hi --to ui",
    ] {
        assert_eq!(Value::Object(parse(line).unwrap().1), send, "{line}");
    }
    let (_, arguments, _) = parse("mesh room create x --members a,b").unwrap();
    assert_eq!(
        Value::Object(arguments),
        json!({"name": "x", "members": ["a", "b"]})
    );
    // An option of every command stays that.
    let (_, arguments, _) = parse("mesh room floor x ui --agent me").unwrap();
    assert_eq!(arguments["agent"], "ui");
    let (_, arguments, _) = parse("mesh room floor x --with-agent ui").unwrap();
    assert_eq!(arguments["agent"], "ui");
    assert_eq!(
        parse("mesh send --to ui").unwrap_err(),
        ErrorKind::MissingRequiredArgument
    );
}

#[test]
fn wrong_words_are_refused() {
    assert_eq!(
        parse("mesh sned ui hello").unwrap_err(),
        ErrorKind::InvalidSubcommand
    );
    assert_eq!(
        parse("mesh wait --timeout 56").unwrap_err(),
        ErrorKind::ValueValidation
    );
    assert_eq!(
        parse("mesh invite p ui --days x").unwrap_err(),
        ErrorKind::ValueValidation
    );
    assert_eq!(
        parse("mesh send ui hello --data {").unwrap_err(),
        ErrorKind::ValueValidation
    );
    assert_eq!(
        parse("mesh invite p ui --certificate x").unwrap_err(),
        ErrorKind::UnknownArgument
    );
}

#[test]
fn aliases_call_the_same_function() {
    for line in ["mesh projects", "mesh list", "mesh ls"] {
        assert_eq!(parse(line).unwrap().0, "list_meshes");
    }
}

#[test]
fn no_catalogue_breaks_the_command_line() {
    let function = |name: &str, verb: &[&str], positional: &[&str], arguments: Value| Function {
        name: name.into(),
        summary: "\u{1b}[2J{x}".into(),
        cli: Some(Verb {
            verb: verb.iter().map(|w| w.to_string()).collect(),
            positional: positional.iter().map(|w| w.to_string()).collect(),
            ..Verb::default()
        }),
        arguments: serde_json::from_value(arguments).unwrap(),
        ..Function::default()
    };
    let catalogue = Catalogue {
        functions: vec![
            function("taken", &["login"], &[], json!([])),
            function("helpful", &["help"], &[], json!([])),
            function("odd", &["--odd", "x\u{1b}"], &[], json!([])),
            function("empty", &[], &[], json!([])),
            function("deep", &["a", "b", "c"], &[], json!([])),
            function(
                "both",
                &["both"],
                &["x", "y"],
                json!([{"name": "x"}, {"name": "y", "required": true}]),
            ),
            function(
                "below",
                &["both", "deeper"],
                &["gone"],
                json!([{"name": "agent", "schema": {"type": "boolean"}}, {"name": "--x y"}]),
            ),
            function("twice", &["both"], &[], json!([])),
            function(
                "flag",
                &["flag"],
                &[],
                json!([
                    {"name": "on", "schema": {"type": "boolean"}, "default": true},
                    {"name": "off", "schema": {"type": "boolean"}, "default": false},
                    {"name": "mesh", "schema": {"type": "array"}},
                ]),
            ),
        ],
        ..Catalogue::default()
    };
    let command = built(&catalogue, &[]);
    command.clone().debug_assert();
    let mut names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    names.sort();
    assert_eq!(names, ["both", "flag", "login"]);
    let matches = command
        .try_get_matches_from(["mesh", "both", "deeper", "--with-agent", "--agent", "x"])
        .unwrap();
    assert_eq!(matches.get_one::<String>("agent").unwrap(), "x");
    let matches = built(&catalogue, &[])
        .try_get_matches_from(["mesh", "flag", "--no-on", "--off"])
        .unwrap();
    let flag = catalogue.function("flag").unwrap();
    let (arguments, _) =
        values::read(flag, matches.subcommand().unwrap().1, std::io::empty()).unwrap();
    assert_eq!(Value::Object(arguments), json!({"on": false, "off": true}));
}

#[test]
fn a_value_is_json_or_else_a_text() {
    let argument = json!({"name": "value", "type": "mesh.value", "schema": {}, "required": true});
    let function = Function {
        name: "put".into(),
        cli: Some(Verb {
            verb: vec!["put".into()],
            positional: vec!["value".into()],
            ..Verb::default()
        }),
        arguments: serde_json::from_value(json!([argument])).unwrap(),
        ..Function::default()
    };
    let catalogue = Catalogue {
        functions: vec![function],
        ..Catalogue::default()
    };
    let function = &catalogue.functions[0];
    let put = |word: &str, stdin: &str| {
        let matches = built(&catalogue, &[]).try_get_matches_from(["mesh", "put", word]);
        let matches = matches.map_err(|e| e.to_string())?;
        let matches = matches.subcommand().unwrap().1;
        let read = values::read(function, matches, stdin.as_bytes());
        read.map(|(arguments, _)| arguments["value"].clone())
            .map_err(|e| e.message)
    };
    for (word, value) in [
        ("null", json!(null)),
        ("false", json!(false)),
        ("-5", json!(-5)),
        ("\"5\"", json!("5")),
        ("[1, {}]", json!([1, {}])),
        ("two words", json!("two words")),
        ("", json!("")),
        ("v1.2", json!("v1.2")),
    ] {
        assert_eq!(put(word, "").unwrap(), value, "{word}");
    }
    assert_eq!(put("-", "{\"a\":\n1}\n").unwrap(), json!({"a": 1}));
    assert_eq!(put("-", "a\nb").unwrap(), json!("a\nb"));
    for word in ["{a}", "[1", "\"a"] {
        assert!(put(word, "").unwrap_err().contains("not JSON"), "{word}");
        assert!(put("-", word).unwrap_err().contains("not JSON"), "{word}");
    }
}
