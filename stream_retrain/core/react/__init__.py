"""When to act and what to do: triggers, reactions, the rules that join them, and the policy that decides."""
