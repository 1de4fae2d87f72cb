//! `--grep`: searching on this machine what no server can read.

use crate::{
    catalogue::Function,
    error::{Error, Result},
};
use clap::{Arg, ArgMatches};
use serde_json::{Map, Value};

const ID: &str = "client:grep";
/// How many messages are asked for at a time, and how many pages are read at most.
const PAGE: usize = 200;
const PAGES: usize = 500;
const HITS: usize = 50;

/// The option, for calls that list what may be sealed in pages.
pub fn option(function: &Function) -> Option<Arg> {
    let is_paged = function.arguments.iter().any(|a| a.name == "before");
    let is_sealed = function
        .returns
        .kinds()
        .any(|(_, kind)| kind == "mesh.envelope");
    (is_paged && is_sealed).then(|| {
        Arg::new(ID).long("grep").value_name("text").help(
            "Only messages with this text in them, upper or lower case; searched on this machine",
        )
    })
}

/// The text to look for, if there is one.
pub fn wanted(matches: &ArgMatches) -> Option<&str> {
    let text = matches.try_get_one::<String>(ID).ok().flatten();
    text.map(String::as_str)
}

/// Reads page after page, each before the one that came last, until `limit` messages hold `text`; the newest, in their order.
pub async fn find<F: Future<Output = Result<Value>>>(
    mut arguments: Map<String, Value>,
    text: &str,
    page: impl Fn(Map<String, Value>) -> F,
) -> Result<Value> {
    if text.is_empty() {
        return Err(Error::usage("--grep needs a text to look for"));
    }
    let text = text.to_lowercase();
    let limit = arguments.get("limit").and_then(Value::as_u64);
    let limit = limit.map_or(HITS, |limit| limit as usize);
    arguments.insert("limit".into(), PAGE.into());
    let mut found: Vec<Value> = Vec::new();
    for _ in 0..PAGES {
        let Value::Array(rows) = page(arguments.clone()).await? else {
            break;
        };
        let Some(oldest) = rows.first().map(|row| row["message_id"].clone()) else {
            break;
        };
        let is_last = rows.len() < PAGE || arguments.get("before") == Some(&oldest);
        let holds = |row: &Value| {
            let said = row["message"].as_str();
            said.is_some_and(|said| said.to_lowercase().contains(&text))
        };
        found.splice(0..0, rows.into_iter().filter(holds));
        if is_last || found.len() >= limit {
            break;
        }
        arguments.insert("before".into(), oldest);
    }
    found.drain(..found.len().saturating_sub(limit));
    Ok(Value::Array(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// 450 messages, every hundredth of which says so.
    async fn page(arguments: Map<String, Value>) -> Result<Value> {
        let before = arguments
            .get("before")
            .map_or(450, |id| id.as_u64().unwrap());
        let first = before.saturating_sub(arguments["limit"].as_u64().unwrap());
        let text = |n: u64| {
            if n.is_multiple_of(100) {
                "A Hundred"
            } else {
                "none"
            }
        };
        Ok((first..before)
            .map(|n| json!({"message_id": n, "message": text(n)}))
            .collect())
    }

    async fn ids(text: &str, limit: Option<u64>) -> Vec<u64> {
        let arguments = limit.map(|limit| ("limit".to_owned(), json!(limit)));
        let found = find(arguments.into_iter().collect(), text, page)
            .await
            .unwrap();
        let rows = found.as_array().unwrap();
        rows.iter()
            .map(|row| row["message_id"].as_u64().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn pages_are_searched_back_and_shown_in_order() {
        assert_eq!(ids("a hundred", None).await, [0, 100, 200, 300, 400]);
        assert_eq!(ids("HUNDRED", Some(2)).await, [300, 400]);
        assert!(ids("%", None).await.is_empty());
    }
}
