"""The commands of HJ 212 by number: what each is, which way it goes, and the parameters that it names (4.6).

A table, so that the manual, the codec and the tests read the same. Numbers of 2005 that 2017 dropped are there too:
loggers still send them. Building and reading messages is left to `edge.hj212.messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from edge.hj212.segment import Version


class Command(StrEnum):
    SET_TIMEOUT = "1000"
    REPORT_HARDWARE_SERIAL = "1001"
    SET_MN = "1002"
    CLOCK = "1011"
    SET_CLOCK = "1012"
    ASK_CLOCK_CORRECTION = "1013"
    EXCHANGE_KEY = "1014"
    ALARM_TARGET = "1031"
    SET_ALARM_TARGET = "1032"
    REALTIME_INTERVAL = "1061"
    SET_REALTIME_INTERVAL = "1062"
    MINUTE_INTERVAL = "1063"
    SET_MINUTE_INTERVAL = "1064"
    SET_PASSWORD = "1072"
    REALTIME_DATA = "2011"
    STOP_REALTIME_DATA = "2012"
    RAW_DATA = "2013"
    EQUIPMENT_STATE = "2021"
    STOP_EQUIPMENT_STATE = "2022"
    DAY_DATA = "2031"
    EQUIPMENT_RUN_TIME = "2041"
    MINUTE_DATA = "2051"
    SINGLE_NOISE = "2052"
    HOUR_DATA = "2061"
    STANDARD_CHECK_DATA = "2062"
    ALARM_EVENT = "2072"
    LOGGER_START_TIME = "2081"
    FURNACE_DATA = "2111"
    CALIBRATE = "3011"
    SAMPLE_NOW = "3012"
    CLEAN = "3013"
    COMPARISON_SAMPLING = "3014"
    RETAIN_SAMPLE = "3015"
    SET_SAMPLING_PERIOD = "3016"
    SAMPLING_PERIOD = "3017"
    SAMPLE_OUT_TIME = "3018"
    DEVICE_ID = "3019"
    FIELD_INFORMATION = "3020"
    SET_FIELD_PARAMETER = "3021"
    RETAIN_SAMPLE_NOW = "3022"
    STANDARD_CHECK = "3024"
    REQUEST_REPLY = "9011"
    EXECUTION_RESULT = "9012"
    NOTICE_REPLY = "9013"
    DATA_REPLY = "9014"
    HEARTBEAT = "9015"
    LOGIN = "9021"
    LOGIN_REPLY = "9022"


class QnRtn(IntEnum):
    """What a field unit says to a request (9011)."""

    READY = 1
    REFUSED = 2
    PW_WRONG = 3
    MN_WRONG = 4
    ST_WRONG = 5
    FLAG_WRONG = 6
    QN_WRONG = 7
    CN_WRONG = 8
    CRC_WRONG = 9
    UNKNOWN = 100


class ExeRtn(IntEnum):
    """How the execution of a request ended (9012)."""

    DONE = 1
    FAILED = 2
    CONDITION_WRONG = 3
    TIMED_OUT = 4
    BUSY = 5
    SYSTEM_FAULT = 6
    NO_DATA = 100


class Kind(StrEnum):
    """What a message is to the exchange that it stands in; a command may be several."""

    REQUEST = "request"  #: host to field: 9011, uploads, 9012
    UPLOAD = "upload"  #: field to host, asked for or not: 9014 where bit A of Flag is set
    NOTICE = "notice"  #: 9013 where bit A of Flag is set
    REPLY = "reply"  #: ends or continues an exchange of the same QN


class Form(StrEnum):
    """How a parameter is written."""

    INTEGER = "integer"
    TIME = "time"  #: YYYYMMDDhhmmss, UTC+8; taken as epoch [ms]
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One row of table 4.6. `parameters`: those with a name of their own; items by pollutant are not among them."""

    title: str
    kinds: tuple[Kind, ...]
    parameters: Mapping[str, Form]
    since: Version = Version.HJ_2017
    until: Version | None = None  #: the last version that has it


_REQUEST: Final = (Kind.REQUEST,)
_NOTICE: Final = (Kind.NOTICE,)
_UPLOAD: Final = (Kind.UPLOAD,)
_BOTH: Final = (Kind.REQUEST, Kind.UPLOAD)
_REPLY: Final = (Kind.REPLY,)
_POLLUTANT: Final = {"PolId": Form.TEXT}
_DATA: Final = {"DataTime": Form.TIME}
_HISTORY: Final = {"BeginTime": Form.TIME, "EndTime": Form.TIME, **_DATA}
_OLD: Final = Version.HJT_2005
_NEW: Final = Version.HJ_2025


def _spec(
    title: str,
    kinds: tuple[Kind, ...],
    parameters: Mapping[str, Form] | None = None,
    since: Version = Version.HJ_2017,
    until: Version | None = None,
) -> Spec:
    return Spec(title=title, kinds=kinds, parameters=parameters or {}, since=since, until=until)


SPECS: Final[Mapping[Command, Spec]] = {
    Command.SET_TIMEOUT: _spec(
        "set timeout and retries", _REQUEST, {"OverTime": Form.INTEGER, "ReCount": Form.INTEGER}
    ),
    Command.REPORT_HARDWARE_SERIAL: _spec("report the hardware serial number", _UPLOAD, since=_NEW),
    Command.SET_MN: _spec("give the field unit its MN", _REQUEST, since=_NEW),
    Command.CLOCK: _spec("read the field clock", _BOTH, {**_POLLUTANT, "SystemTime": Form.TIME}),
    Command.SET_CLOCK: _spec("set the field clock", _REQUEST, {**_POLLUTANT, "SystemTime": Form.TIME}),
    Command.ASK_CLOCK_CORRECTION: _spec("the field unit asks for a clock correction", _NOTICE, _POLLUTANT),
    Command.EXCHANGE_KEY: _spec("exchange of keys", _BOTH, since=_NEW),
    Command.ALARM_TARGET: _spec("read who is told of alarms", _BOTH, {"AlarmTarget": Form.TEXT}, _OLD, _OLD),
    Command.SET_ALARM_TARGET: _spec("set who is told of alarms", _REQUEST, {"AlarmTarget": Form.TEXT}, _OLD, _OLD),
    Command.REALTIME_INTERVAL: _spec("read the real-time interval", _BOTH, {"RtdInterval": Form.INTEGER}),
    Command.SET_REALTIME_INTERVAL: _spec("set the real-time interval", _REQUEST, {"RtdInterval": Form.INTEGER}),
    Command.MINUTE_INTERVAL: _spec("read the minute interval", _BOTH, {"MinInterval": Form.INTEGER}),
    Command.SET_MINUTE_INTERVAL: _spec("set the minute interval", _REQUEST, {"MinInterval": Form.INTEGER}),
    Command.SET_PASSWORD: _spec("set the password", _REQUEST, {"NewPW": Form.TEXT}),
    Command.REALTIME_DATA: _spec("real-time pollutant data", _BOTH, _DATA),
    Command.STOP_REALTIME_DATA: _spec("stop real-time pollutant data", _NOTICE),
    Command.RAW_DATA: _spec("raw data", _BOTH, _HISTORY, _NEW),
    Command.EQUIPMENT_STATE: _spec("run state of abatement equipment", _BOTH, _DATA),
    Command.STOP_EQUIPMENT_STATE: _spec("stop the run state of abatement equipment", _NOTICE),
    Command.DAY_DATA: _spec("daily pollutant history", _BOTH, _HISTORY),
    Command.EQUIPMENT_RUN_TIME: _spec("daily run time of abatement equipment", _BOTH, _HISTORY),
    Command.MINUTE_DATA: _spec("minute data", _BOTH, _HISTORY),
    Command.SINGLE_NOISE: _spec("single noise measurement", _BOTH, _HISTORY, _NEW),
    Command.HOUR_DATA: _spec("hour data", _BOTH, _HISTORY),
    Command.STANDARD_CHECK_DATA: _spec("data of the automatic check with a standard", _BOTH, _HISTORY, _NEW),
    Command.ALARM_EVENT: _spec("alarm event", _NOTICE, {"AlarmTime": Form.TIME, "AlarmType": Form.INTEGER}, _OLD, _OLD),
    Command.LOGGER_START_TIME: _spec("start time of the logger", _UPLOAD, {**_DATA, "RestartTime": Form.TIME}),
    Command.FURNACE_DATA: _spec("furnace temperature, means of five minutes", _UPLOAD, _DATA, _NEW),
    Command.CALIBRATE: _spec("zero and span calibration", _REQUEST, _POLLUTANT),
    Command.SAMPLE_NOW: _spec("sample now", _REQUEST, _POLLUTANT),
    Command.CLEAN: _spec("clean or blow back", _REQUEST, _POLLUTANT),
    Command.COMPARISON_SAMPLING: _spec("comparison sampling", _REQUEST, _POLLUTANT),
    Command.RETAIN_SAMPLE: _spec("retain a sample on exceedance", _BOTH, _DATA),
    Command.SET_SAMPLING_PERIOD: _spec(
        "set the sampling period", _REQUEST, {**_POLLUTANT, "CstartTime": Form.TEXT, "CTime": Form.INTEGER}
    ),
    Command.SAMPLING_PERIOD: _spec(
        "read the sampling period", _BOTH, {**_POLLUTANT, "CstartTime": Form.TEXT, "CTime": Form.INTEGER}
    ),
    Command.SAMPLE_OUT_TIME: _spec("read the time until a sample is out", _BOTH, _POLLUTANT),
    Command.DEVICE_ID: _spec("unique id of a device", _BOTH, _POLLUTANT),
    Command.FIELD_INFORMATION: _spec(
        "field information: logs, states, parameters",
        _BOTH,
        {**_DATA, **_POLLUTANT, "InfoId": Form.TEXT, "BeginTime": Form.TIME, "EndTime": Form.TIME},
    ),
    Command.SET_FIELD_PARAMETER: _spec("set a field parameter", _REQUEST, {**_POLLUTANT, "InfoId": Form.TEXT}),
    Command.RETAIN_SAMPLE_NOW: _spec("retain a sample now", _REQUEST, _POLLUTANT, _NEW),
    Command.STANDARD_CHECK: _spec("start a check with a standard", _REQUEST, _POLLUTANT, _NEW),
    Command.REQUEST_REPLY: _spec("reply to a request", _REPLY, {"QnRtn": Form.INTEGER}),
    Command.EXECUTION_RESULT: _spec("result of execution", _REPLY, {"ExeRtn": Form.INTEGER}),
    Command.NOTICE_REPLY: _spec("reply to a notice", _REPLY),
    Command.DATA_REPLY: _spec("reply to data", _REPLY),
    Command.HEARTBEAT: _spec("heartbeat", _NOTICE, since=_NEW),
    Command.LOGIN: _spec("login", _NOTICE, {}, _OLD, _OLD),
    Command.LOGIN_REPLY: _spec("reply to a login", _REPLY, {}, _OLD, _OLD),
}
_BY_NUMBER: Final = {str(command): command for command in Command}


def command_of(number: str | None) -> Command | None:
    """None for a number that we do not know."""
    return _BY_NUMBER.get(number or "")
