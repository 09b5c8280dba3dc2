"""An independent judge of what Assay computes: brute force over exact integers and decimals.

It shares no code with the engine and takes no shortcut the engine takes: no running sums, no monotonic queues, no
reference prices. Slow is fine here; clever is not.
"""
