"""Between the contract and aos.py: made by `aos-host build`."""

import encodings.idna  # noqa: F401  looked up by name when a socket connects
import json

import aos
import tools  # noqa: F401  its decorators register the tools
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types


class Tools(exports.Tools):
    def definitions(self):
        return [
            types.Definition(
                name=tool["name"],
                title=tool.get("title"),
                description=tool["description"],
                input_schema=json.dumps(tool["input_schema"]),
                output_schema=json.dumps(tool["output_schema"]) if "output_schema" in tool else None,
                behaviour=types.Behaviour(**tool["behaviour"]),
            )
            for tool in aos.definitions()
        ]

    def call(self, name, arguments):
        try:
            text, value = aos.call(name, json.loads(arguments))
        except aos.UnknownTool as error:
            raise Err(types.Error_UnknownTool(str(error))) from error
        except aos.InvalidArguments as error:
            raise Err(types.Error_InvalidArguments(str(error))) from error
        except aos.Unavailable as error:
            raise Err(types.Error_Unavailable(str(error))) from error
        except aos.ToolError as error:
            raise Err(types.Error_Failed(str(error))) from error
        except MemoryError:
            raise
        except RecursionError as error:
            raise Err(types.Error_Failed("it recursed too deeply")) from error
        except Exception as error:
            aos.print_traceback(error)
            raise Err(types.Error_Failed(f"{type(error).__name__}: {error}")) from error
        structured = None if value is None else json.dumps(value)
        return types.Output(content=[types.Content_Text(text)], structured=structured)
