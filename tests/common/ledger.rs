//! What was sent and what arrived, when everything in between may be killed: again is harmless, lost or out of order is not.

use std::collections::HashMap;

/// The texts of messages in the order of their first arrival. What arrives again is the same message.
pub fn first_arrivals(got: &[(String, String)]) -> Vec<String> {
    let mut first = Vec::new();
    let mut ids: HashMap<&str, &str> = HashMap::new();
    for (text, id) in got {
        match ids.insert(text, id) {
            None => first.push(text.clone()),
            Some(before) => assert_eq!(before, id, "{text} is one message"),
        }
    }
    first
}

/// The texts and ids of an answer's messages.
pub fn texts_and_ids(answer: &serde_json::Value) -> Vec<(String, String)> {
    let messages = answer["messages"].as_array().expect("messages");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    messages
        .iter()
        .map(|m| (text(&m["message"]), text(&m["message_id"])))
        .collect()
}
