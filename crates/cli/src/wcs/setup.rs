//! The settings of a WCS for an app URL.

/// The app that a WCS has from the start, with all hooks at WCS's own `EchoApp`.
pub(crate) const DEFAULT_APP: &str = "defaultApp";

/// The command that points the default app at the URL.
pub(crate) fn default_app(url: &str) -> String {
    format!("update app -l {url} {DEFAULT_APP}")
}

/// The commands that make an app of one's own. A new app has no hooks, so each is added.
pub(crate) fn own_app(url: &str, key: &str) -> [String; 3] {
    [format!("add app NAME {key} \"{url}\""), rest_method(key, "connect"), rest_method(key, super::ON_CALL_EVENT)]
}

/// The command that adds the calls of browsers to an app of one's own.
pub(crate) fn gated_call(key: &str) -> String {
    rest_method(key, super::CALL)
}

/// The command that shows the hooks of an app.
pub(crate) fn show(key: &str) -> String {
    format!("show app-rest-methods {key}")
}

fn rest_method(key: &str, hook: &str) -> String {
    format!("add app-rest-method {key} {hook}")
}

/// The lines of `flashphoner.properties` with which WCS signs hooks.
pub(crate) const PROPERTIES: [&str; 2] = ["rest_hook_send_hash=true", "rest_hook_secret_key=KEY"];
