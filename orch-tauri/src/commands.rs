//! The commands as Tauri calls them: each passes its arguments on and its answer back.

use orch_runtime::{AgentMetadata, DeadLetter, OrchestratorMetrics};
use tauri::ipc::{Channel, JavaScriptChannelId};
use tauri::{Runtime, Webview, command};

use crate::answer::{
    Answer, BroadcastMessageResponse, EventFrame, RegisterAgentResponse, SendMessageResponse,
    Snapshot, StartOrchestratorResponse, StopOrchestratorResponse,
};
use crate::args::{
    AgentArgs, BroadcastMessageArgs, CreateOrchestratorArgs, RegisterAgentArgs,
    ResendDeadLetterArgs, RunArgs, SendMessageArgs, StartOrchestratorArgs, SubscribeEventsArgs,
};
use crate::call::Call;
use crate::error::Error;
use crate::orchestrators::DEFAULT_RUN;

type Answered<T> = Result<Answer<T>, Error>;

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident: $args:ty => $answer:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// As there; and for wrong arguments.
        #[command(rename_all = "snake_case")]
        pub async fn $name(call: Call<$args>) -> Answered<$answer> {
            call.orchestrators.$name(call.args).await.map(Answer)
        }
    )*};
}

commands! {
    /// See [`Orchestrators::register_agent`](crate::Orchestrators::register_agent).
    register_agent: RegisterAgentArgs => RegisterAgentResponse;
    /// See [`Orchestrators::unregister_agent`](crate::Orchestrators::unregister_agent).
    unregister_agent: AgentArgs => ();
    /// See [`Orchestrators::list_agents`](crate::Orchestrators::list_agents).
    list_agents: RunArgs => Vec<AgentMetadata>;
    /// See [`Orchestrators::get_agent_metadata`](crate::Orchestrators::get_agent_metadata).
    get_agent_metadata: AgentArgs => AgentMetadata;
    /// See [`Orchestrators::create_orchestrator`](crate::Orchestrators::create_orchestrator).
    create_orchestrator: CreateOrchestratorArgs => ();
    /// See [`Orchestrators::start_orchestrator`](crate::Orchestrators::start_orchestrator).
    start_orchestrator: StartOrchestratorArgs => StartOrchestratorResponse;
    /// See [`Orchestrators::stop_orchestrator`](crate::Orchestrators::stop_orchestrator).
    stop_orchestrator: RunArgs => StopOrchestratorResponse;
    /// See [`Orchestrators::get_orchestrator_metrics`](crate::Orchestrators::get_orchestrator_metrics).
    get_orchestrator_metrics: RunArgs => OrchestratorMetrics;
    /// See [`Orchestrators::get_queue_depth`](crate::Orchestrators::get_queue_depth).
    get_queue_depth: RunArgs => usize;
    /// See [`Orchestrators::send_message`](crate::Orchestrators::send_message).
    send_message: SendMessageArgs => SendMessageResponse;
    /// See [`Orchestrators::broadcast_message`](crate::Orchestrators::broadcast_message).
    broadcast_message: BroadcastMessageArgs => BroadcastMessageResponse;
    /// See [`Orchestrators::list_dead_letters`](crate::Orchestrators::list_dead_letters).
    list_dead_letters: RunArgs => Vec<DeadLetter>;
    /// See [`Orchestrators::resend_dead_letter`](crate::Orchestrators::resend_dead_letter).
    resend_dead_letter: ResendDeadLetterArgs => ();
}

/// Answers how things stand, and passes what happens from then on to a channel, until the page is
/// loaded anew, left or closed, or subscribes to the same orchestrator again.
///
/// # Errors
///
/// For wrong arguments, and for an event that has not happened.
#[command(rename_all = "snake_case")]
pub async fn subscribe_events<R: Runtime>(
    webview: Webview<R>,
    call: Call<SubscribeEventsArgs>,
) -> Answered<Snapshot> {
    let SubscribeEventsArgs { on_event, after, run_id } = call.args;
    let channel: JavaScriptChannelId = on_event.0.parse().map_err(|_| not_a_channel())?;
    let (snapshot, reader) = call.orchestrators.subscribe(run_id.clone(), after).await?;
    let page = webview.label().to_owned();
    let channel: Channel<Answer<EventFrame>> = channel.channel_on(webview);
    let run_id = run_id.unwrap_or_else(|| DEFAULT_RUN.to_owned());
    call.orchestrators.subscriptions().add(page, run_id, reader, channel);
    Ok(Answer(snapshot))
}

fn not_a_channel() -> Error {
    Error::invalid("`on_event` is not a channel")
        .with_hint("pass a `new Channel()` of @tauri-apps/api/core")
}
