use super::*;

fn texts(sql: &str) -> Vec<String> {
    split("x.sql", sql)
        .unwrap()
        .into_iter()
        .map(|s| s.text)
        .collect()
}

#[test]
fn nothing_is_no_statement() {
    for sql in [
        "",
        "  \n",
        ";;; ;",
        "-- only; a comment",
        "/* a; /* b; */ c; */;",
    ] {
        assert_eq!(texts(sql), Vec::<String>::new(), "{sql}");
    }
}

#[test]
fn semicolons_inside_quotes_do_not_cut() {
    for one in [
        "select 'a;b''c;d'",
        r"select 'c:\;', 1",
        r"select E'it\';s', e'\\'",
        "select E'a\\'\n  'b\\';c'",
        "select E'a' -- why; not\n 'b\\';c'",
        "select U&'d\\0061t;', U&\"d;\"",
        "select \"odd;\"\"name\" from \"t;\"",
        "select $$a;$b$;'\"$$",
        "select $tag$ $$;$$ $ta$ ; $tag$",
        "select $é$;$é$",
        "select a$b$c, 'x;' , d$$e",
        "execute p($1, $2)",
        "create rule r as on insert to t do also (insert into a values (1); insert into b values (2))",
        "select 1 /* ; /* ; ' */ $$ */ + 1",
        "select 1 -- ; 'it\n + 2",
    ] {
        assert_eq!(
            texts(&format!("{one};\nselect 2")),
            [one, "select 2"],
            "{one}"
        );
    }
}

#[test]
fn a_name_that_ends_in_e_opens_no_escape_string() {
    assert_eq!(
        texts(r"select type'\'; select 2"),
        [r"select type'\'", "select 2"]
    );
}

#[test]
fn atomic_bodies_stay_whole() {
    let body = "create function f(a int) returns int language sql\nBEGIN /* ; */ ATOMIC\n  select case when a > 0 then case a when 1 then 2 end end;\n  select 1;\nEND";
    assert_eq!(texts(&format!("{body}; select 2;")), [body, "select 2"]);
    assert_eq!(
        texts("begin; select atomic; end"),
        ["begin", "select atomic", "end"]
    );
    let plpgsql = "do $$ begin perform 1; end $$";
    assert_eq!(texts(&format!("{plpgsql};{plpgsql}")), [plpgsql, plpgsql]);
}

#[test]
fn lines_are_those_of_the_first_token() {
    let found = split("sql/a.sql", "-- head\n\nselect 1;\n/* x\n*/ select\n2;\n\n").unwrap();
    assert_eq!(found.iter().map(|s| s.line).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(found[1].text, "select\n2");
}

#[test]
fn what_never_ends_is_named_with_its_line() {
    for (sql, what) in [
        ("select 1;\nselect 'a;", "x.sql:2: this string"),
        ("select $a$ $b$", "x.sql:1: this dollar-quoted string"),
        ("\n/* /* */", "x.sql:2: this comment"),
        ("select \"a", "x.sql:1: this quoted name"),
        (r"select E'\'", "x.sql:1: this string"),
    ] {
        let error = split("x.sql", sql).unwrap_err();
        assert!(error.message.starts_with(what), "{sql}: {}", error.message);
    }
}

#[test]
fn words_are_bare() {
    assert_eq!(
        words("Grant SELECT /* x */ ON \"Mesh\".\"a\"\"b\" to 'x' -- y"),
        ["grant", "select", "on", "Mesh", ".", "a\"b", "to", "'"]
    );
}
