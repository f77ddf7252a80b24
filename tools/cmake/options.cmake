# SPDX-License-Identifier: LGPL-2.1-or-later
# Compiler options through one interface target; nothing global.
option(SDLM_WERROR "warnings are errors" OFF)
set(SDLM_SANITIZE "" CACHE STRING "sanitizers, e.g. address,undefined or thread")
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

add_library(sdlm_options INTERFACE)
target_compile_features(sdlm_options INTERFACE cxx_std_20)
target_include_directories(sdlm_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(sdlm_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Wuseless-cast>
    # g++ 12 reports moved std::variant alternatives as maybe uninitialised, in every build with inlining
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>
    $<$<BOOL:${SDLM_WERROR}>:-Werror>)
target_compile_definitions(sdlm_options INTERFACE SDLM_VERSION="${PROJECT_VERSION}")
if(SDLM_SANITIZE)
    target_compile_options(sdlm_options INTERFACE -fsanitize=${SDLM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(sdlm_options INTERFACE -fsanitize=${SDLM_SANITIZE})
endif()
set(CMAKE_CXX_EXTENSIONS OFF)

# sdlm_library(NAME SOURCES ... LINK ...): a static library with an sdlm:: alias.
function(sdlm_library name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC sdlm_options ${arg_LINK})
    string(REGEX REPLACE "^sdlm_" "sdlm::" alias ${name})
    add_library(${alias} ALIAS ${name})
endfunction()
