// Immich's events, each with arguments of its shape. `on_session_delete` is not among them: it
// reaches one session only.

const asset = { id: "a1", originalFileName: "IMG_1.jpg" };

export const EVENTS = [
  ["on_upload_success", [asset]],
  ["on_asset_delete", ["a1"]],
  ["on_asset_trash", [["a1", "a2"]]],
  ["on_asset_restore", [["a1"]]],
  ["on_asset_update", [asset]],
  ["on_asset_hidden", ["a1"]],
  ["on_asset_stack_update", []],
  ["on_config_update", []],
  ["on_new_release", [{ serverVersion: { major: 1 }, releaseVersion: { major: 2 } }]],
  ["on_user_delete", ["u1"]],
  ["on_person_thumbnail", ["p1"]],
  ["on_album_update", ["al1"]],
  ["on_notification", [{ id: "n1", title: "Hello" }]],
  ["on_server_version", [{ major: 2, minor: 0, patch: 1 }]],
  ["AssetUploadReadyV1", [{ asset, exif: {} }]],
  ["AssetUploadReadyV2", [{ asset, exif: {} }]],
  ["AssetEditReadyV1", [{ asset }]],
  ["AssetEditReadyV2", [{ asset }]],
];
