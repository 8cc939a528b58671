//! The events Immich's clients know, each with the arguments they read.
//!
//! A publisher that gets one of them wrong is told what was expected: its clients would fail
//! silently.

use std::borrow::Cow;

use serde_json::Value;

use crate::protocol::SESSION_DELETE;

/// What follows the name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Nothing.
    Nothing,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
    /// An object with at least these fields.
    Object(&'static [&'static str]),
    /// Three whole numbers of a version.
    Version,
}

/// Says which version the server is.
pub const SERVER_VERSION: &str = "on_server_version";

/// Every event that is known by name.
const KNOWN: [(&str, Shape, &str); 19] = [
    ("on_upload_success", Shape::Object(&[]), "one argument: the asset, an object"),
    ("on_asset_delete", Shape::Text, "one argument: the asset's id, a string"),
    ("on_asset_trash", Shape::Texts, "one argument: the assets' ids, a list of strings"),
    ("on_asset_restore", Shape::Texts, "one argument: the assets' ids, a list of strings"),
    ("on_asset_update", Shape::Object(&[]), "one argument: the asset, an object"),
    ("on_asset_hidden", Shape::Text, "one argument: the asset's id, a string"),
    ("on_asset_stack_update", Shape::Nothing, "no arguments"),
    ("on_config_update", Shape::Nothing, "no arguments"),
    (
        "on_new_release",
        Shape::Object(&["serverVersion", "releaseVersion"]),
        "one argument: an object with serverVersion and releaseVersion",
    ),
    (SESSION_DELETE, Shape::Text, "one argument: the session's id, a string"),
    ("on_user_delete", Shape::Text, "one argument: the user's id, a string"),
    ("on_person_thumbnail", Shape::Text, "one argument: the person's id, a string"),
    ("on_album_update", Shape::Text, "one argument: the album's id, a string"),
    ("on_notification", Shape::Object(&[]), "one argument: the notification, an object"),
    (
        SERVER_VERSION,
        Shape::Version,
        "one argument: an object with the numbers major, minor and patch",
    ),
    ("AssetUploadReadyV1", ASSET_AND_EXIF, "one argument: an object with asset and exif"),
    ("AssetUploadReadyV2", ASSET_AND_EXIF, "one argument: an object with asset and exif"),
    ("AssetEditReadyV1", Shape::Object(&[]), "one argument: an object"),
    ("AssetEditReadyV2", Shape::Object(&[]), "one argument: an object"),
];

const ASSET_AND_EXIF: Shape = Shape::Object(&["asset", "exif"]);

/// The arguments of an event as a JSON array: `args` as they are, else `data` as the only one.
pub fn arguments<'a>(args: Option<&'a str>, data: Option<&str>) -> Cow<'a, str> {
    match (args, data) {
        (Some(args), _) => Cow::Borrowed(args),
        (None, Some(data)) if data != "null" => Cow::Owned(format!("[{data}]")),
        (None, Some(_) | None) => Cow::Borrowed("[]"),
    }
}

/// Checks the arguments of an event that is known by name.
///
/// # Errors
/// The name, and what was expected.
pub fn check(
    name: &str,
    args: Option<&str>,
    data: Option<&str>,
) -> Result<(), (&'static str, &'static str)> {
    let Some((name, shape, expected)) = KNOWN.iter().find(|(known, ..)| *known == name) else {
        return Ok(());
    };
    let Ok(args) = serde_json::from_str::<Vec<Value>>(&arguments(args, data)) else {
        return Err((name, expected));
    };
    if shape.fits(&args) { Ok(()) } else { Err((name, expected)) }
}

impl Shape {
    fn fits(self, args: &[Value]) -> bool {
        match (self, args) {
            (Shape::Nothing, []) | (Shape::Text, [Value::String(_)]) => true,
            (Shape::Texts, [Value::Array(items)]) => items.iter().all(Value::is_string),
            (Shape::Object(names), [Value::Object(fields)]) => {
                names.iter().all(|name| fields.contains_key(*name))
            }
            (Shape::Version, [Value::Object(fields)]) => ["major", "minor", "patch"]
                .iter()
                .all(|name| fields.get(*name).is_some_and(Value::is_u64)),
            (
                Shape::Nothing | Shape::Text | Shape::Texts | Shape::Object(_) | Shape::Version,
                _,
            ) => false,
        }
    }
}
