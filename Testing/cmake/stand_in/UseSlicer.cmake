# The macros. Each takes the arguments of its namesake and refuses what that one refuses.

if(NOT DEFINED EXTENSION_NAME)
  set(EXTENSION_NAME "${PROJECT_NAME}")
endif()
option(BUILD_TESTING "Test the project" ON)
if(BUILD_TESTING)
  enable_testing()
endif()

# Copy files to the build tree one by one, under the names they are listed with; the names go to OUTPUT.
function(_copy_listed destination output)
  set(copies)
  foreach(file IN LISTS ARGN)
    add_custom_command(
      OUTPUT "${destination}/${file}"
      COMMAND "${CMAKE_COMMAND}" -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${file}" "${destination}/${file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
      VERBATIM
      )
    list(APPEND copies "${destination}/${file}")
  endforeach()
  set(${output} "${copies}" PARENT_SCOPE)
endfunction()

macro(slicerMacroBuildScriptedModule)
  _build_scripted_module(${ARGN})
endmacro()

function(_build_scripted_module)
  cmake_parse_arguments(M "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule() does not know: ${M_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT M_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule() needs a NAME")
  endif()
  foreach(file IN LISTS M_SCRIPTS M_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule() is given '${file}', which does not exist")
    endif()
    # Slicer would copy these too, to a place where nothing is installed from, without a word.
    if(IS_ABSOLUTE "${file}" OR file MATCHES "^\\.\\.")
      message(FATAL_ERROR "'${file}' lies outside the folder of its CMakeLists.txt and would not be installed")
    endif()
  endforeach()

  set(modules "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  if(M_WITH_SUBDIR)
    get_filename_component(subdir "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    set(destination "${modules}/${subdir}")
    set(to_install "${destination}") # the folder itself
  else()
    set(destination "${modules}")
    set(to_install "${destination}/") # what is in it
  endif()
  _copy_listed("${destination}" scripts ${M_SCRIPTS})
  _copy_listed("${destination}" resources ${M_RESOURCES})
  set(stamp "${CMAKE_CURRENT_BINARY_DIR}/${M_NAME}.compiled")
  add_custom_command(
    OUTPUT "${stamp}"
    COMMAND "${Python3_EXECUTABLE}" -m compileall -q "${destination}"
    COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
    DEPENDS ${scripts}
    VERBATIM
    )
  add_custom_target(${M_NAME} ALL DEPENDS ${scripts} ${resources} "${stamp}")
  install(DIRECTORY "${to_install}" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}" USE_SOURCE_PERMISSIONS)

  if(BUILD_TESTING AND M_WITH_GENERIC_TESTS)
    set(MODULE_NAME "${M_NAME}")
    string(TOLOWER "${M_NAME}" MODULE_NAME_LOWER)
    set(test "qSlicer${M_NAME}ModuleGenericTest")
    configure_file("${Slicer_STAND_IN_DIR}/generic_test.py.in" "${CMAKE_CURRENT_BINARY_DIR}/${test}.py" @ONLY)
    slicer_add_python_unittest(
      SCRIPT ${test}.py
      SLICER_ARGS --no-main-window --additional-module-path ${modules}
      TESTNAME_PREFIX nomainwindow_
      )
  endif()
endfunction()

macro(SlicerMacroBuildScriptedCLI)
  _build_scripted_cli(${ARGN})
endmacro()

function(_build_scripted_cli)
  cmake_parse_arguments(M "NO_INSTALL;VERBOSE" "NAME;FOLDER" "" ${ARGN})
  if(M_UNPARSED_ARGUMENTS OR NOT M_NAME)
    message(FATAL_ERROR "SlicerMacroBuildScriptedCLI() needs a NAME and does not know: ${M_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file IN ITEMS ${M_NAME}.py ${M_NAME}.xml)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "SlicerMacroBuildScriptedCLI() needs ${file}")
    endif()
  endforeach()
  _copy_listed("${CMAKE_BINARY_DIR}/${Slicer_CLIMODULES_BIN_DIR}" copies ${M_NAME}.py ${M_NAME}.xml)
  add_custom_target(${M_NAME} ALL DEPENDS ${copies})
  if(NOT M_NO_INSTALL)
    install(FILES ${M_NAME}.py ${M_NAME}.xml DESTINATION "${Slicer_INSTALL_CLIMODULES_BIN_DIR}")
  endif()
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(M "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  get_filename_component(name "${M_SCRIPT}" NAME_WE)
  set(folders "['${CMAKE_CURRENT_BINARY_DIR}', '${CMAKE_CURRENT_SOURCE_DIR}']")
  add_test(
    NAME py_${M_TESTNAME_PREFIX}${name}
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --ignore-slicerrc ${M_SLICER_ARGS}
      --python-code "import slicer.testing; slicer.testing.runUnitTest(${folders}, '${name}')"
    )
endfunction()

function(slicer_add_python_test)
  cmake_parse_arguments(M "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS;SCRIPT_ARGS" ${ARGN})
  get_filename_component(name "${M_SCRIPT}" NAME_WE)
  add_test(
    NAME py_${M_TESTNAME_PREFIX}${name}
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --ignore-slicerrc ${M_SLICER_ARGS}
      --python-script "${CMAKE_CURRENT_SOURCE_DIR}/${M_SCRIPT}" ${M_SCRIPT_ARGS}
    )
endfunction()
