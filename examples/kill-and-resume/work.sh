# Works on what it is told for a while. The log is its own: what stands there, was done.
piece=$(cat)
echo "$ORCH_AGENT_NAME begins $piece" >> "$LOG"
sleep "$PAUSE"
echo "$ORCH_AGENT_NAME ends   $piece" >> "$LOG"
echo "$ORCH_AGENT_NAME($piece)"
