"""What the status code of an OPC UA value says as a flag of HJ 212 table 8, and which values are none. No I/O.

OPC UA part 4, "StatusCode": the two highest bits are the severity, the high word the code, and the low word, where it
says so, tells of a value at its limit or of a queue that overflowed.

    Good        N, the value        GoodLocalOverride: S, it was set by hand
    Uncertain   D, the value        but B where communication failed, S where it was set or simulated, T over range
    Bad         D, null             but B where communication failed, F where the source is out of service
    limit high  T, the value        where the value is not bad: it is a lower bound
"""

from __future__ import annotations

from typing import Final

#: The high word of a status code -> its flag, where it is not that of its severity.
FLAGS_BY_CODE: Final = {
    0x0096: "S",  # GoodLocalOverride
    0x408F: "B",  # UncertainNoCommunicationLastUsableValue
    0x4090: "B",  # UncertainLastUsableValue
    0x4091: "S",  # UncertainSubstituteValue
    0x4094: "T",  # UncertainEngineeringUnitsExceeded
    0x40F2: "T",  # UncertainOverRange
    0x4208: "S",  # UncertainTransducerInManual
    0x4209: "S",  # UncertainSimulatedValue
    0x420A: "C",  # UncertainSensorCalibration
    0x8005: "B",  # BadCommunicationError
    0x800A: "B",  # BadTimeout
    0x800D: "B",  # BadServerNotConnected
    0x8031: "B",  # BadNoCommunication
    0x8032: "B",  # BadWaitingForInitialData
    0x808A: "B",  # BadNotConnected
    0x808D: "F",  # BadOutOfService
    0x80AE: "B",  # BadConnectionClosed
}
_SEVERITY: Final = 30
_GOOD: Final = 0
_UNCERTAIN: Final = 1
_IS_DATA_VALUE: Final = 0x0400
_LIMIT: Final = 0x0300
_LIMIT_LOW: Final = 0x0100
_LIMIT_HIGH: Final = 0x0200
_OVERFLOW: Final = 0x0080


def flag_of(code: int) -> str | None:
    """The flag that the status *code* says; None for nothing but good."""
    severity = code >> _SEVERITY
    flag = FLAGS_BY_CODE.get(code >> 16, None if severity == _GOOD else "D")
    limit = code & _LIMIT if code & _IS_DATA_VALUE else 0
    if not is_bad(code):
        if limit == _LIMIT_HIGH and flag in (None, "D"):
            return "T"
        if limit == _LIMIT_LOW and flag == "T":
            return "D"  # below the range: no lower bound of anything
    return flag


def is_bad(code: int) -> bool:
    """Whether a value of this status is none; the severity that is reserved counts as bad (part 4)."""
    return code >> _SEVERITY > _UNCERTAIN


def overflowed(code: int) -> bool:
    """Whether values before this one were lost in the server's queue."""
    return bool(code & _IS_DATA_VALUE and code & _OVERFLOW)
