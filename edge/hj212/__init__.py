"""HJ 212: what data loggers and platforms say to each other, as bytes in and values out.

No module of the codec opens, waits or looks at a clock: bytes, times and keys are arguments, as h11 does it.

    decoder = Decoder(allowed_crc={"modbus"}, keys={mn: key})       edge.hj212.decoder
    for event in decoder.feed(chunk): Packet | Fault                quiet() while nothing comes, close() at the end
    encode(Segment(...)) -> bytes, split(segment) -> [Segment]      edge.hj212.segment, edge.hj212.encoder
    Command, SPECS, Kind, QnRtn, ExeRtn                             edge.hj212.commands
    message(packet) -> Message | None, build(command, ...),
    request_reply, execution_result, notice_reply, data_reply,
    acknowledgement(packet) -> Segment | None                       edge.hj212.messages
    Assembler(...).add(packet, now_s=...) -> [Packet]               edge.hj212.assembly
    read_logger(table) -> Logger                                    edge.hj212.loggers
    to_rows(packet, logger) -> Mapped                               edge.hj212.rows, edge.hj212.mapped

Nothing a peer sends raises: whatever is wrong is a `Fault` with its kind and byte offset, whatever can be read is read,
and nothing is repaired without one. docs/hj212.md is the manual.
"""
