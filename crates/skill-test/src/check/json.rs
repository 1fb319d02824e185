//! Values in JSON documents.

use serde_json::Value as Json;

use crate::expect::PointerCheck;

/// Longest value in a message, in characters.
const SHOWN: usize = 200;

/// Whether a document has the value. `what` is the document's name.
pub(crate) fn check(document: &Json, check: &PointerCheck, what: &str) -> Result<(), String> {
    let PointerCheck { pointer, value } = check;
    let place = if pointer.is_empty() { what.to_owned() } else { format!("`{pointer}` of {what}") };
    match document.pointer(pointer) {
        Some(got) if same(value, got) => Ok(()),
        Some(got) => Err(format!("expected {place} to be {}, got {}", short(value), short(got))),
        None => Err(format!(
            "expected {place} to be {}, but there is no such place{}",
            short(value),
            near(document, pointer)
        )),
    }
}

/// The same, for a document that is still text.
pub(crate) fn check_text(text: &str, wanted: &PointerCheck, what: &str) -> Result<(), String> {
    match serde_json::from_str(text) {
        Ok(document) => check(&document, wanted, what),
        Err(error) => Err(format!("{what} is not JSON: {error}")),
    }
}

/// Equal as JSON values are: `1` and `1.0` are the same number.
fn same(wanted: &Json, got: &Json) -> bool {
    match (wanted, got) {
        (Json::Number(wanted), Json::Number(got)) => {
            wanted == got || (wanted.is_f64() != got.is_f64() && wanted.as_f64() == got.as_f64())
        }
        (Json::Array(wanted), Json::Array(got)) => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| same(wanted, got))
        }
        (Json::Object(wanted), Json::Object(got)) => {
            wanted.len() == got.len()
                && wanted.iter().all(|(key, value)| got.get(key).is_some_and(|got| same(value, got)))
        }
        _ => wanted == got,
    }
}

/// What there is where the pointer leaves the document.
fn near(document: &Json, pointer: &str) -> String {
    let ends = pointer.char_indices().filter(|(_, character)| *character == '/').map(|(at, _)| at);
    let mut parents: Vec<&Json> = ends.filter_map(|end| document.pointer(&pointer[..end])).collect();
    match parents.pop() {
        Some(Json::Object(members)) => {
            let names: Vec<String> = members.keys().take(12).map(|name| format!("`{name}`")).collect();
            let more = if members.len() > 12 { ", …" } else { "" };
            format!("; there are {}{more}", names.join(", "))
        }
        Some(Json::Array(items)) => format!("; the list there has {} items", items.len()),
        _ => String::new(),
    }
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
