//! The bodies of the hooks, with the members that WCS's documentation shows.

use serde_json::{Map, Value, json};

/// A body that WCS sends.
pub(super) type Event = Map<String, Value>;

/// Stands for the session description of a browser.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";

/// A hook of the session, with the members that all hooks have and these.
fn event(app: &str, members: Value) -> Event {
    let mut event = Event::new();
    event.insert("nodeId".to_owned(), "ah20GKYnbYKxjJmdh1zDs6c1lWkn0Q0t@46.101.108.90".into());
    event.insert("appKey".to_owned(), app.into());
    event.insert("sessionId".to_owned(), "/8.8.8.8:56046/46.101.108.90:8443".into());
    if let Value::Object(members) = members {
        event.extend(members);
    }
    event
}

/// A browser connects.
pub(super) fn connect(app: &str) -> Event {
    event(
        app,
        json!({
            "useWsTunnel": false,
            "useWsTunnelPacketization2": false,
            "useBase64BinaryEncoding": false,
            "mediaProviders": ["WebRTC"],
            "clientVersion": "2.0",
            "clientOSVersion": "5.0",
            "clientBrowserVersion": "callgatectl wcs-simulator",
            "keepAlive": false,
            "origin": "https://wcs.example.com",
        }),
    )
}

/// The session of the browser has a new status.
pub(super) fn status(app: &str, status: &str) -> Event {
    event(app, json!({"status": status}))
}

/// The browser calls out. The page puts `caller` there.
pub(super) fn call(app: &str, call_id: &str, caller: &str, callee: &str, video: bool) -> Event {
    event(
        app,
        json!({
            "callId": call_id,
            "incoming": false,
            "hasVideo": video,
            "hasAudio": true,
            "status": "PENDING",
            "mediaProvider": "WebRTC",
            "sdp": SDP,
            "caller": caller,
            "callee": callee,
            "custom": {},
            "visibleName": caller,
        }),
    )
}

/// A SIP call comes in.
pub(super) fn on_call_event(app: &str, call_id: &str, caller: &str, callee: &str, video: bool) -> Event {
    event(
        app,
        json!({
            "callId": call_id,
            "incoming": true,
            "status": "PENDING",
            "caller": caller,
            "callee": callee,
            "hasAudio": true,
            "hasVideo": video,
            "mediaProvider": "WebRTC",
            "isMsrp": false,
            "holdForTransfer": false,
        }),
    )
}

/// A call rings.
pub(super) fn call_status(mut call: Event) -> Event {
    call.insert("status".to_owned(), "RING".into());
    call
}

/// The browser publishes a stream.
pub(super) fn stream_keep_alive(app: &str) -> Event {
    event(app, json!({"name": "stream", "status": "PUBLISHING", "sdp": SDP}))
}
