"""Command-line flags as the gflags library reads them, with the flags that gflags and glog add to
each of Caffe's commands.

`-name value` and `-name=value`, with one dash or two, anywhere on the line; `--` ends the flags.  A
switch is `-name`, `-noname` or `-name=false`; an optional flag is one of these or takes a value.
If a flag is given twice, the last value counts.  Dashes in a name are the same as underscores.
"""

import fnmatch
import os
import re
from collections.abc import Mapping, Sequence

Options = Mapping[str, Mapping]  # {flag: action, type, choices, default}
Value = bool | int | float | str

TRUE, FALSE = ("1", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no")
SWITCH, NUMBER, TEXT = {"action": "store_true"}, {"type": int, "default": 0}, {"default": ""}

# Flags of glog 0.6.  Those that caffe/log.py knows say where the log goes and what it looks like;
# the others have no effect here.
GLOG = {
    **dict.fromkeys(
        [
            "alsologtostderr",
            "logtostderr",
            "logtostdout",
            "colorlogtostderr",
            "colorlogtostdout",
            "drop_log_memory",
            "log_prefix",
            "log_utc_time",
            "log_year_in_prefix",
            "stop_logging_if_full_disk",
            "timestamp_in_logfile_name",
            "symbolize_stacktrace",
            "log_file_header",
        ],
        SWITCH,
    ),
    **dict.fromkeys(
        [
            "minloglevel",
            "stderrthreshold",
            "v",
            "logbuflevel",
            "logbufsecs",
            "logcleansecs",
            "logemaillevel",
            "logfile_mode",
            "max_log_size",
        ],
        NUMBER,
    ),
    **dict.fromkeys(
        ["log_dir", "log_link", "log_backtrace_at", "logmailer", "alsologtoemail", "vmodule"], TEXT
    ),
}
HELP = ("help", "helpfull", "helpshort", "helpxml", "helppackage", "helpon", "helpmatch")
GFLAGS = {
    **dict.fromkeys(("version", *HELP[:5]), SWITCH),
    **dict.fromkeys(
        (*HELP[5:], "flagfile", "fromenv", "tryfromenv", "undefok", "tab_completion_word"), TEXT
    ),
    "tab_completion_columns": NUMBER,
}


class FlagError(Exception):
    """A mistake on the command line, in one sentence."""


class Parser:
    """Reads a command line.

    Parameters
    ----------
    options : dict
        {flag: keywords}: `action` "store_true" for a switch, or "optional" for a text whose value
        is `const` if the flag is used like a switch; else `type` (int, float or str), `choices` and
        `default`.
    program : str
        The command's name, for flag files with sections for several programs.
    """

    def __init__(self, options: Options, program: str = ""):
        self.options = {**GLOG, **GFLAGS, **options}
        self.program = program
        self.values = {}  # the flags that were given
        self.rest = []
        self._unknown = []
        self._open = []  # flag files being read

    def parse(self, arguments: Sequence[str]) -> tuple[dict[str, Value], list[str]]:
        """Read the arguments.

        Parameters
        ----------
        arguments : list of str

        Returns
        -------
        (dict, list of str)
            The flags that were given, {flag: value}, and the arguments that are not flags.

        Raises
        ------
        FlagError
            A flag is unknown, has no value, or has a wrong one.
        """
        waiting = list(arguments)
        while waiting:
            argument = waiting.pop(0)
            if argument == "--":
                self.rest += waiting
                break
            match = re.fullmatch(r"--?([^-=][^=]*)(?:=(.*))?", argument, re.DOTALL)
            if not match:
                self.rest.append(argument)
                continue
            name, value = self._known(match[1]), match[2]
            if self._takes_the_next(name, value):
                if not waiting:
                    raise FlagError(f"-{name} is missing its value")
                value = waiting.pop(0)
            elif value is None and self._is_optional(name) and self._is_its_value(name, waiting):
                value = waiting.pop(0)
            self._set(name, value)
        excused = self.values.get("undefok", "").split(",")
        for name in self._unknown:
            if name not in excused and name.removeprefix("no") not in excused:
                raise FlagError(f"unknown flag -{name}")
        return self.values, self.rest

    def _is_switch(self, name: str):
        return self.options.get(name, {}).get("action") == "store_true"

    def _is_optional(self, name: str) -> bool:
        return self.options.get(name, {}).get("action") == "optional"

    def _is_its_value(self, name: str, waiting: list[str]) -> bool:
        """Whether the next word is the value of an optional flag: a word that is not a flag is the
        command's name until that was given.
        """
        if not waiting or waiting[0].startswith("-"):
            return False
        return bool(self.rest) or waiting[0] == self.options[name]["const"]

    def _known(self, name: str) -> str:
        """The flag's name as the options have it: Caffe's have no dashes."""
        plain = name.replace("-", "_")
        return plain if plain in self.options or plain.removeprefix("no") in self.options else name

    def _takes_the_next(self, name: str, value: str | None):
        takes = name in self.options and not self._is_switch(name) and not self._is_optional(name)
        return value is None and takes

    def _set(self, name: str, value: str | None):
        if name not in self.options:
            turned_off = name[2:] if name.startswith("no") and value is None else ""
            if self._is_switch(turned_off):
                self.values[turned_off] = False
            elif self._is_optional(turned_off):
                self.values[turned_off] = self.options[turned_off]["default"]
            else:
                self._unknown.append(name)
            return
        if self._is_switch(name):
            self.values[name] = self._switch(name, value)
        elif self._is_optional(name):
            self.values[name] = self._optional(name, value)
        else:
            self.values[name] = self._value(name, value)
        if name == "flagfile":
            for path in filter(None, self.values[name].split(",")):
                self._read_file(path)
        elif name in ("fromenv", "tryfromenv"):
            for flag in filter(None, self.values[name].split(",")):
                self._from_environment(flag, needed=name == "fromenv")

    @staticmethod
    def _switch(name: str, value: str | None) -> bool:
        if value is None or value.lower() in TRUE:
            return True
        if value.lower() in FALSE:
            return False
        raise FlagError(f"-{name} is true or false, not '{value}'")

    def _optional(self, name: str, value: str | None) -> str:
        if value is None or value.lower() in TRUE:
            return self.options[name]["const"]
        return self.options[name]["default"] if value.lower() in FALSE else value

    def _value(self, name: str, value: str):
        keywords = self.options[name]
        if keywords.get("type") is int:
            if not re.fullmatch(r"[-+]?(\d{1,20}|0[xX][0-9a-fA-F]{1,20})", value, re.ASCII):
                raise FlagError(f"-{name} takes a whole number, not '{value}'")
            value = int(value, 16) if "x" in value.lower() else int(value)
            if not -(2**31) <= value < 2**31:
                raise FlagError(f"-{name} takes a number of 32 bits, not {value}")
        elif keywords.get("type") is float:
            try:
                value = float("" if "_" in value else value)  # C's numbers have no underscores
            except ValueError as error:
                raise FlagError(f"-{name} takes a number, not '{value}'") from error
        if value not in keywords.get("choices", (value,)):
            raise FlagError(f"-{name} takes {', '.join(keywords['choices'])}, not '{value}'")
        return value

    def _read_file(self, path: str):
        """Read a flag file: one flag per line, and comments after #.  A line of program names says
        which programs the next flags are for.
        """
        from caffe import prototxt
        from caffe.error import CaffeError

        if path in self._open:
            raise FlagError(f"-flagfile {path}: the file names itself")
        try:
            lines = prototxt.read_text(path).splitlines()
        except CaffeError as error:
            raise FlagError(f"-flagfile {error}") from error
        self._open.append(path)
        ours, names_before = True, False
        for line in map(str.strip, lines):
            if not line or line.startswith("#"):
                continue
            if line.startswith("-"):
                names_before = False
                name, equals, value = line.lstrip("-").partition("=")
                name = self._known(name)
                if ours:
                    if not equals and self._takes_the_next(name, None):
                        raise FlagError(f"-flagfile {path}: write -{name}=VALUE, on one line")
                    self._set(name, value if equals else None)
            else:
                matches = any(
                    fnmatch.fnmatchcase(self.program, pattern) for pattern in line.split()
                )
                ours = matches or (names_before and ours)
                names_before = True
        self._open.pop()

    def _from_environment(self, flag: str, needed: bool):
        value = os.environ.get(f"FLAGS_{flag}")
        if value is None:
            if needed:
                raise FlagError(f"-fromenv {flag}: the environment has no FLAGS_{flag}")
            return
        if flag in ("fromenv", "tryfromenv"):
            raise FlagError(f"FLAGS_{flag}: -{flag} cannot come from the environment")
        self._set(flag, value)
