//! RFC 8785 text of a JSON value: what is signed.

use serde_json::Value;

/// The canonical text of `value`.
///
/// Numbers are written as RFC 8785 wants them, which is as doubles: integers beyond ±2⁵³ lose digits, so what is
/// signed must not hold any (see [`exact`]).
pub fn text(value: &Value) -> String {
    serde_json_canonicalizer::to_string(value)
        .expect("a JSON value has only string keys and finite numbers")
}

/// Whether every number in `value` survives the canonical form unchanged.
pub fn exact(value: &Value) -> bool {
    const LIMIT: u64 = 1 << 53;
    match value {
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => n <= LIMIT,
            (_, Some(n)) => n.unsigned_abs() <= LIMIT,
            _ => true,
        },
        Value::Array(items) => items.iter().all(exact),
        Value::Object(members) => members.values().all(exact),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_of_the_rfc() {
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let expected = concat!(
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(text(&serde_json::from_str(input).unwrap()), expected);
    }

    #[test]
    fn keys_are_sorted_by_utf16_units() {
        let input =
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let order: Vec<u32> = text(&serde_json::from_str(input).unwrap())
            .chars()
            .filter_map(|c| c.to_digit(10))
            .collect();
        assert_eq!(order, [2, 1, 4, 6, 7, 1, 5, 3]); // the second is a key
    }

    #[test]
    fn integers_that_would_lose_digits_are_found() {
        assert!(exact(
            &serde_json::json!({"a": [9007199254740992u64, -1, 0.5]})
        ));
        assert!(!exact(&serde_json::json!({"a": [9007199254740993u64]})));
        assert!(!exact(&serde_json::json!(-9007199254740993i64)));
    }
}
