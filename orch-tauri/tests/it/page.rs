//! A page without a display: it calls commands, and sees what its channels bring.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use orch_runtime::{Context, function};
use orch_tauri::{Host, Orchestrators};
use serde_json::{Value, json};
use tauri::ipc::{CallbackFn, InvokeBody, InvokeResponseBody};
use tauri::test::{
    INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets,
};
use tauri::webview::InvokeRequest;
use tauri::{App, WebviewWindow, WebviewWindowBuilder};

/// Long enough for a machine that is busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An app with one window, whose handler has the plain names.
pub(crate) struct Page {
    pub(crate) app: App<MockRuntime>,
    pub(crate) window: WebviewWindow<MockRuntime>,
    pub(crate) orchestrators: Orchestrators,
    frames: Arc<Frames>,
}

/// What came through channels: the channel, the index in it, and the frame.
#[derive(Default)]
struct Frames {
    all: Mutex<Vec<(u32, usize, Value)>>,
    arrived: Condvar,
}

/// The host of the tests: `shout` is Rust code, `sort` a program.
pub(crate) fn host() -> Host {
    Host::new().with_program("sort", ["sort"]).with_connector(
        "shout",
        function(|ctx: Context| async move { ctx.content().to_uppercase() }),
    )
}

pub(crate) fn page() -> Page {
    page_of(host())
}

pub(crate) fn page_of(host: Host) -> Page {
    let (orchestrators, frames) = (Orchestrators::new(host), Arc::new(Frames::default()));
    let seen = frames.clone();
    let app = mock_builder()
        .plugin(orch_tauri::plain(orchestrators.clone()))
        .invoke_handler(orch_tauri::handler![])
        .channel_interceptor(move |_, channel, index, body| {
            if let InvokeResponseBody::Json(json) = body {
                let frame = serde_json::from_str(json).expect("a frame is JSON");
                seen.all.lock().unwrap().push((channel.0, index, frame));
                seen.arrived.notify_all();
            }
            true
        })
        .build(mock_context(noop_assets()))
        .expect("the app builds");
    let window = WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap();
    Page { app, window, orchestrators, frames }
}

impl Page {
    pub(crate) fn call(&self, command: &str, arguments: Value) -> Result<Value, Value> {
        call(&self.window, command, InvokeBody::Json(arguments))
    }

    pub(crate) fn ok(&self, command: &str, arguments: Value) -> Value {
        self.call(command, arguments).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The error of a call that fails, which has a code, a message and maybe a hint.
    pub(crate) fn error(&self, command: &str, arguments: Value) -> (String, String, String) {
        let error = self.call(command, arguments).expect_err("the call fails");
        let keys: Vec<&String> = error.as_object().expect("an error is an object").keys().collect();
        assert!(
            keys.iter().all(|key| ["code", "message", "hint"].contains(&key.as_str())),
            "{error}"
        );
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("message"), text("hint"))
    }

    /// Calls from another thread, and answers a handle.
    pub(crate) fn begin(
        &self,
        command: &'static str,
        arguments: Value,
    ) -> std::thread::JoinHandle<Result<Value, Value>> {
        let window = self.window.clone();
        std::thread::spawn(move || call(&window, command, InvokeBody::Json(arguments)))
    }

    pub(crate) fn agent(&self, name: &str, kind: &str, settings: Value) -> String {
        let config =
            json!({ "name": name, "role": "Worker", "connector_type": kind, "settings": settings });
        let answer = self.ok("register_agent", json!({ "request": { "config": config } }));
        assert_eq!(answer.get("cannot_run"), None, "{answer}");
        answer["agent_id"].as_str().expect("an id is a text").to_owned()
    }

    pub(crate) fn send(&self, to: &str, content: &str) -> Value {
        self.ok("send_message", json!({ "request": { "to": to, "content": content } }))
    }

    /// The events that a channel brought, once `done` holds for them; and how many it missed.
    pub(crate) fn events(
        &self,
        channel: u32,
        done: impl Fn(&[Value]) -> bool,
    ) -> (u64, Vec<Value>) {
        let all = self.frames.all.lock().unwrap();
        let read = |all: &[(u32, usize, Value)]| events_of(all, channel);
        let (all, _) =
            self.frames.arrived.wait_timeout_while(all, SOON, |all| !done(&read(all).1)).unwrap();
        let (missed, events) = read(&all);
        assert!(done(&events), "these came: {events:#?}");
        (missed, events)
    }

    /// How many frames a channel brought.
    pub(crate) fn n_frames(&self, channel: u32) -> usize {
        self.frames.all.lock().unwrap().iter().filter(|(of, ..)| *of == channel).count()
    }
}

fn events_of(all: &[(u32, usize, Value)], channel: u32) -> (u64, Vec<Value>) {
    let of_channel: Vec<_> = all.iter().filter(|(of, ..)| *of == channel).collect();
    for (at, (_, index, _)) in of_channel.iter().enumerate() {
        assert_eq!(at, *index, "frames come in their order");
    }
    let missed = of_channel.iter().map(|(.., frame)| frame["missed"].as_u64().unwrap()).sum();
    let events = of_channel.iter().flat_map(|(.., frame)| frame["events"].as_array().unwrap());
    (missed, events.cloned().collect())
}

pub(crate) fn call(
    window: &WebviewWindow<MockRuntime>,
    command: &str,
    body: InvokeBody,
) -> Result<Value, Value> {
    let request = InvokeRequest {
        cmd: command.into(),
        callback: CallbackFn(0),
        error: CallbackFn(1),
        url: "tauri://localhost".parse().expect("this is a URL"),
        body,
        headers: Default::default(),
        invoke_key: INVOKE_KEY.into(),
    };
    get_ipc_response(window, request).map(|body| body.deserialize().expect("an answer is JSON"))
}

/// Whether a run has ended among these events.
pub(crate) fn has_stopped(events: &[Value]) -> bool {
    events.iter().any(|event| event["event"] == "stopped")
}
