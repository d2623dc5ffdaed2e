// The commands of orch-tauri, typed. The types of data are made from the Rust ones; the table of
// commands below is the only thing written by hand.
import { Channel, invoke } from "@tauri-apps/api/core";
/** As a limit: none. What is larger in Rust arrives as this number. */
export const UNLIMITED = Number.MAX_SAFE_INTEGER;
/** Why a call failed; `code` is to branch on. */
export class CallError extends Error {
    code;
    hint;
    constructor(
    /** `denied` if the page has no permission for the command. */
    code, message, hint) {
        super(message);
        this.code = code;
        this.hint = hint;
        this.name = "CallError";
    }
}
/**
 * The orchestrators of this app.
 *
 * @param form `plugin` if the app has the plugin, `plain` if it has the plain names.
 */
export function orchestrators(form = "plugin") {
    const prefix = form === "plugin" ? "plugin:orchestrator|" : "";
    const send = async (command, args) => {
        try {
            return await invoke(prefix + command, { ...args });
        }
        catch (reason) {
            throw callError(reason);
        }
    };
    return {
        call: (command, ...args) => send(command, args[0] ?? {}),
        subscribe: (listener, from = {}) => subscribe(send, listener, from),
    };
}
async function subscribe(send, listener, from) {
    // Events may overtake the answer that has the snapshot.
    let early = [];
    const pass = (frame) => {
        if (frame.missed > 0)
            listener.missed?.(frame.missed);
        for (const event of frame.events)
            listener.event(event);
    };
    const on_event = new Channel((frame) => (early ? early.push(frame) : pass(frame)));
    const snapshot = await send("subscribe_events", { on_event, ...from });
    listener.snapshot(snapshot);
    const waiting = early;
    early = null;
    waiting.forEach(pass);
    return snapshot;
}
/** Tauri itself rejects with a text: for a page without permission, or a command that is not there. */
function callError(reason) {
    if (typeof reason === "object" && reason !== null && "code" in reason && "message" in reason) {
        const error = reason;
        return new CallError(error.code, error.message, error.hint);
    }
    const hint = "the window's capability needs a permission such as orchestrator:default";
    return new CallError("denied", String(reason), hint);
}
