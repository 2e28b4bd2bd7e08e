# Where downloads and third-party builds are kept: a user cache, keyed by
# version and hash, so that a second checkout downloads and builds nothing.
if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(MARBLE_CACHE_DIR "$ENV{XDG_CACHE_HOME}/marbledb")
else()
  set(MARBLE_CACHE_DIR "$ENV{HOME}/.cache/marbledb")
endif()
file(MAKE_DIRECTORY "${MARBLE_CACHE_DIR}")
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# marble_cached(NAME result SCRIPT args...): run vendor/SCRIPT DEST args... once and
# set `result` to DEST. The script writes into a scratch folder that is renamed
# when it has succeeded: an interrupted fetch leaves nothing that looks complete.
function(marble_cached name result)
  set(dest "${MARBLE_CACHE_DIR}/${name}")
  if(NOT EXISTS "${dest}/.complete")
    message(STATUS "Fetching ${name} into ${dest}")
    string(RANDOM LENGTH 8 suffix)
    set(scratch "${dest}.${suffix}.partial")
    file(MAKE_DIRECTORY "${scratch}")
    execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${scratch}" RESULT_VARIABLE rc
                    OUTPUT_FILE "${scratch}/fetch.log" ERROR_FILE "${scratch}/fetch.log")
    if(NOT rc EQUAL 0)
      message(FATAL_ERROR "Fetching ${name} failed (exit ${rc}); see ${scratch}/fetch.log")
    endif()
    file(TOUCH "${scratch}/.complete")
    if(EXISTS "${dest}")
      file(REMOVE_RECURSE "${dest}")
    endif()
    file(RENAME "${scratch}" "${dest}")
  endif()
  set(${result} "${dest}" PARENT_SCOPE)
endfunction()
