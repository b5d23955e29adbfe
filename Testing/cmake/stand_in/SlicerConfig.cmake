# A stand-in for the configuration that a Slicer build tree offers to extensions: the variables and macros that this
# extension uses, with what Slicer's do to files, so that configuring, building, installing, testing and packaging can
# be tried without a Slicer build. Written from the behaviour, not from Slicer's text.
#
# Wants Python3_EXECUTABLE: the interpreter of the test host, which stands in for the Slicer executable.

set(Slicer_STAND_IN_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(Slicer_VERSION_MAJOR 5)
set(Slicer_VERSION_MINOR 10)
set(Slicer_VERSION "5.10.0")
set(Slicer_MAIN_PROJECT_APPLICATION_NAME "Slicer")
set(Slicer_REVISION "0")
set(Slicer_OS "linux")
set(Slicer_ARCHITECTURE "amd64")
set(Slicer_USE_PYTHONQT ON)

set(Slicer_LIB_DIR "lib/Slicer-5.10")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_LIB_DIR}/qt-scripted-modules")
set(Slicer_CLIMODULES_LIB_DIR "${Slicer_LIB_DIR}/cli-modules")
set(Slicer_CLIMODULES_BIN_DIR "${Slicer_CLIMODULES_LIB_DIR}")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
set(Slicer_INSTALL_CLIMODULES_BIN_DIR "${Slicer_CLIMODULES_BIN_DIR}")
set(Slicer_SHARE_DIR "share/Slicer-5.10")

set(Slicer_LAUNCHER_EXECUTABLE "${Python3_EXECUTABLE}" "${Slicer_STAND_IN_DIR}/slicer_launcher.py")
set(Slicer_USE_FILE "${Slicer_STAND_IN_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${Slicer_STAND_IN_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${Slicer_STAND_IN_DIR}/Package.cmake")
